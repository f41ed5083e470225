"""The state of a lake after a delivery was added to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.features import state as states
from movierate_spark.features.state import state_settings
from movierate_spark.inputs.merging import FILE, Merge
from movierate_spark.storage.documents import StateEntry
from movierate_spark.storage.lake import Lake, State
from movierate_spark.storage.opened_table import DataFile, OpenedTable
from movierate_spark.storage.tables import read_files
from movierate_spark.times import utc


@dataclass(frozen=True)
class StateChange:
    """The state's rows to write by table, the tables' files that they replace, and what they make of it.

    ``entry`` is None if there are no ratings.
    """

    entry: StateEntry | None
    rows: Mapping[str, DataFrame] = field(default_factory=dict)
    files: Mapping[str, frozenset[str]] = field(default_factory=dict)


@contextmanager
def state_change(
    before: Lake,
    merges: Mapping[str, Merge],
    tables: Mapping[str, OpenedTable],
    settings: Settings,
    *,
    now: datetime,
    has_re_ratings: bool,
) -> Iterator[StateChange]:
    """Bring the state of ``before`` forward to the midnight before the last rating of the merged lake.

    If a rating's clock was ahead, it is the midnight before ``now``: else requests of today would be before
    the state's end. It is made anew if there was none, or if it was made with other settings. A late delivery
    takes it back to the midnight before its first rating. ``tables`` are the lake's as they were opened. Rows
    that are read several times are cached during the block.
    """
    ratings, users = (
        merges[name].after(getattr(before, name)) if name in merges else getattr(before, name)
        for name in ("ratings", "users")
    )
    min_rating = settings.label.min_rating
    made_with = state_settings(settings.features, min_rating=min_rating)
    state = before.state if before.state and before.state.settings == made_with else None
    first, last = _first_and_last(before, state, merges)
    if last is None:
        yield StateChange(None)
        return
    until = _midnight(min(last, now))
    if state is None:
        entry = StateEntry(until=until, settings=made_with)
        first_rows = states.first_state(
            ratings,
            users,
            settings.features,
            min_rating=min_rating,
            until=until,
            has_re_ratings=has_re_ratings,
        )
        every = {name: frozenset(file.name for file in _files(tables[name])) for name in first_rows}
        yield StateChange(entry, first_rows, every)
        return
    since = state.until if first is None else min(state.until, _midnight(first))
    until = max(state.until, until)  # the last rating is never before the state's end
    entry = StateEntry(until=until, settings=made_with)
    earlier, changes = _taken_back(before, state, merges, users, since=since)
    with ExitStack() as stack:
        if since < until:
            adding = states.added_since(
                earlier, ratings, users, settings.features, until=until, has_re_ratings=has_re_ratings
            )
            for name, rows in stack.enter_context(adding).items():
                changes[name] = changes[name].unionByName(rows) if name in changes else rows
        yield _with_files(entry, changes, tables, since=since if since < state.until else None)


def _taken_back(
    before: Lake, state: State, merges: Mapping[str, Merge], users: DataFrame, *, since: datetime
) -> tuple[State, dict[str, DataFrame]]:
    """The state as of ``since`` with the users' new groups, and the rows that change its totals to that."""
    changes: dict[str, DataFrame] = {}
    if since < state.until:
        changes = states.taken_back(state, before.users, since=since)
    earlier = states.rewound(state, changes, since=since)
    users_merge, tables_before = merges.get("users"), before.ledger.tables
    # Without any users, ratings of unknown users are not counted as orphans.
    had_unknown_users = bool(tables_before["ratings"].orphans) or not tables_before["users"].accepted
    if users_merge and (users_merge.replaced_rows or (users_merge.added_rows and had_unknown_users)):
        moved = states.moved(earlier, before.users, users)
        totals = changes.get("movie_totals")
        changes["movie_totals"] = moved if totals is None else totals.unionByName(moved)
        earlier = states.rewound(state, changes, since=since)
    return earlier, changes


def _with_files(
    entry: StateEntry,
    changes: Mapping[str, DataFrame],
    tables: Mapping[str, OpenedTable],
    *,
    since: datetime | None,
) -> StateChange:
    """Add the rows of files that are written again: small ones, and of events that ``since`` takes back."""
    rows, files = {}, {}
    for name, changed in changes.items():
        schema = schemas.STATE[name]
        rewritten = tables[name].small_files()
        if name == "history" and since is not None:
            rewritten |= _files_since(changed, tables[name], since)
        old = read_files(changed.sparkSession, tables[name].path, schema, rewritten)
        if name == "history" and since is not None:
            old = old.where(~states.counts_since(since))
        both = changed.select(*schema.names).unionByName(old)
        if rewritten and name in states.TOTALS:
            both = states.summed(name, both)
        rows[name], files[name] = both, frozenset(rewritten)
    return StateChange(entry, rows, files)


def _files_since(changed: DataFrame, history: OpenedTable, since: datetime) -> frozenset[str]:
    """The files of the history with events that count from ``since`` on."""
    paths = {file.name.rpartition("/")[2]: file.name for file in _files(history)}
    events = read_files(
        changed.sparkSession, history.path, schemas.HISTORY, list(paths.values()), file_column=FILE
    )
    files = events.where(states.counts_since(since)).select(FILE).distinct().collect()
    return frozenset(paths[row[FILE]] for row in files)


def _files(table: OpenedTable) -> list[DataFile]:
    return table.files.get(None, [])


def _first_and_last(
    before: Lake, state: State | None, merges: Mapping[str, Merge]
) -> tuple[datetime | None, datetime | None]:
    """The times of the first added rating and of the last rating of all."""
    earlier = before.ratings
    if state is not None:
        earlier = earlier.where(F.col("rated_at") >= F.lit(state.until))
    second = F.unix_seconds("rated_at")
    newest = earlier.agg(F.max(second).alias("last")).head()
    seconds = [newest["last"]] if newest else []
    first = None
    if "ratings" in merges:
        row = merges["ratings"].added.agg(F.min(second).alias("first"), F.max(second).alias("last")).head()
        first = row["first"] if row else None
        seconds.append(row["last"] if row else None)
    last = max((second for second in seconds if second is not None), default=None)
    return (None if first is None else utc(first)), (None if last is None else utc(last))


def _midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
