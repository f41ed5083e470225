"""The lake: Delta tables, and a ledger that commits them together.

``ledger.json`` names the version of each table. It is written last, by an atomic rename. Readers open the
tables at these versions, so that they see either the complete new delivery or the one before it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from deltalake import CommitProperties
from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.errors import ConflictError, InputError, MovierateError
from movierate_spark.session import check_time_zone
from movierate_spark.storage.attempts import Attempt, attempt_to_write
from movierate_spark.storage.commits import KEEP_LOG, commit
from movierate_spark.storage.digests import sha256
from movierate_spark.storage.documents import Ledger, StateEntry, StateSettings, TableCounts, read_document
from movierate_spark.storage.files import files_below, replace_json
from movierate_spark.storage.locations import Location
from movierate_spark.storage.opened_table import OpenedTable, open_table
from movierate_spark.storage.tables import current_files, read_table

LEDGER = "ledger.json"


@dataclass(frozen=True)
class State:
    """The history of every user and movie as of a midnight (UTC), at the versions in the ledger."""

    until: datetime
    settings: StateSettings
    history: DataFrame
    movie_totals: DataFrame
    daily_totals: DataFrame


@dataclass(frozen=True)
class Lake:
    """A lake whose frames are at the versions in the ledger.

    ``ledger_sha256`` is the digest of the bytes from which ``ledger`` was parsed; the file may have been
    replaced since. ``state`` is None if no history is kept.
    """

    path: Location
    ledger: Ledger
    ledger_sha256: str
    ratings: DataFrame
    users: DataFrame
    movies: DataFrame
    state: State | None = None

    @property
    def has_re_ratings(self) -> bool:
        """Whether a user has rated a movie again; false for a lake of version 0.1 without their number."""
        return bool(self.ledger.tables["ratings"].re_rated)

    @property
    def latest_ratings(self) -> DataFrame:
        """One row per (user, movie) with ratings: the latest rating."""
        if not self.has_re_ratings:
            return self.ratings
        latest = F.max(F.struct("rated_at", "rating")).alias("latest")
        by_pair = self.ratings.groupBy("user_id", "movie_id").agg(latest)
        return by_pair.select("user_id", "movie_id", "latest.rating", "latest.rated_at")

    @property
    def everybody(self) -> DataFrame:
        """A row per user (user_id): those with attributes, and those with ratings."""
        return self.users.select("user_id").union(self.ratings.select("user_id")).distinct()

    def described(self) -> dict[str, Any]:
        """The lake's path, versions and digest, for run records."""
        return {
            "lake": str(self.path),
            "lake_versions": dict(self.ledger.versions),
            "ledger_sha256": self.ledger_sha256,
        }


def read_ledger(path: Location) -> tuple[Ledger, bytes]:
    """The ledger of the lake at ``path``, and the bytes from which it was parsed.

    Raises:
        InputError: there is no lake, or its ledger can't be read.
    """
    return read_document(path / LEDGER, Ledger, what="lake", argument="lake", made_by="prepare")


def open_lake(spark: SparkSession, path: Location) -> Lake:
    """The lake at ``path``, at the versions in its ledger.

    Raises:
        InputError: there is no lake, or its ledger or a table can't be read; or the session's time zone is
            not UTC.
    """
    check_time_zone(spark)
    ledger, content = read_ledger(path)

    def frames(*names: str) -> dict[str, DataFrame]:
        return {
            name: read_table(spark, path / name, schemas.LAKE_AND_STATE[name], version=ledger.versions[name])
            for name in names
        }

    kept = ledger.state
    state = State(kept.until, kept.settings, **frames(*schemas.STATE)) if kept else None
    return Lake(path, ledger, sha256(content), **frames("ratings", "users", "movies"), state=state)


def current_ledger(path: Location) -> Ledger | None:
    """The ledger of the lake at ``path``; None if there is none that can be read."""
    try:
        return Ledger.parse((path / LEDGER).read_bytes())
    except (OSError, ValueError):
        return None


def made_of_the_same(path: Location, made_of: Mapping[str, Any]) -> Ledger | None:
    """The ledger of the lake at ``path`` if it was made of the same inputs and settings; else None.

    Also None if deliveries were added to it; if one of its files is missing; if a rating was rejected for a
    time in the future that has passed meanwhile; and for a lake of version 0.1, which did not keep
    re-ratings.
    """
    ledger = current_ledger(path)
    if ledger is None:
        return None
    is_same = all(getattr(ledger, name) == value for name, value in made_of.items())
    is_same &= not ledger.deliveries
    ratings = ledger.tables["ratings"]
    is_same &= ratings.re_rated is not None and ratings.is_up_to_date(time.time())
    return ledger if is_same and _is_complete(path, ledger) else None


def _is_complete(path: Location, ledger: Ledger) -> bool:
    """Whether all files of the versions in the ledger are there."""
    try:
        return all(
            current_files(path / name, version=version) <= {entry.name for entry in files_below(path / name)}
            for name, version in ledger.versions.items()
        )
    except (OSError, ValueError, DeltaError):
        return False


@dataclass(frozen=True)
class LakeState:
    """What a publish replaces: a lake's tables and the tag of its ledger, as they were when a run began."""

    ledger_tag: str
    tables: Mapping[str, OpenedTable]


def at_versions(state: LakeState, versions: Mapping[str, int]) -> LakeState:
    """The lake after each table's content is again that of the version, as a new version where it was not.

    A run that was killed between the tables' commits and the ledger leaves tables that are newer than it.

    Raises:
        ConflictError: another run has published the table meanwhile, or the version's files are gone.
    """
    tables = dict(state.tables)
    for name, version in versions.items():
        opened = tables[name]
        if opened.delta is None or opened.version == version:
            continue
        try:
            opened.delta.restore(
                version,
                commit_properties=CommitProperties(max_commit_retries=0),
                post_commithook_properties=KEEP_LOG,
            )
        except DeltaError as error:
            raise ConflictError(f"{opened.path}: version {version} can't be restored ({error})") from error
        tables[name] = open_table(opened.path)
    return replace(state, tables=tables)


def undo(path: Location, *, state: LakeState) -> Ledger:
    """Go back to the lake before the newest delivery; returns its ledger. Other deliveries can follow it.

    ``state`` is the lake as it was when the run began.

    Raises:
        InputError: there is no lake; nothing was there before, or that is not known after an undo; or its
            files have been removed.
        ConflictError: another run has published a lake meanwhile.
    """
    ledger, _ = read_ledger(path)
    before = ledger.before
    if before is None:
        raise InputError(
            f"{path}: nothing to undo: there was no lake before its newest delivery, or it is not known any"
            " more, after an undo"
        )
    if not _is_complete(path, before):
        raise _without_files(path)
    tables = at_versions(state, before.versions).tables
    versions = {name: tables[name].version for name in before.versions}
    _check_newest(path, versions)
    restored = Ledger.model_validate({**before.content(), "versions": versions})
    if not _is_complete(path, restored):  # a vacuum has removed files meanwhile
        raise _without_files(path)
    _publish_ledger(path, restored, to=state)
    return restored


def _without_files(path: Location) -> InputError:
    return InputError(
        f"{path}: can't be undone: files of the lake before are missing (vacuum removes them), or can't be"
        " read"
    )


@contextmanager
def publishing(path: Location, frames: Mapping[str, DataFrame]) -> Iterator[dict[str, Attempt]]:
    """Write the tables' files, by table. If the block fails, those that are not published are removed."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(attempt_to_write(frame, path / name, schemas.LAKE_AND_STATE[name]))
            for name, frame in frames.items()
        }


def publish(
    path: Location,
    attempts: Mapping[str, Attempt],
    tables: Mapping[str, TableCounts],
    made_of: Mapping[str, Any],
    *,
    to: LakeState,
    replacing: Mapping[str, Collection[str]] | None = None,
    before: Ledger | None = None,
    state: StateEntry | None = None,
) -> Ledger:
    """Commit the tables, then write the ledger, which makes them visible to readers.

    ``tables``, ``made_of`` and ``state`` are the ledger's content without the versions. ``to`` is the lake as
    it was when the run began, and ``before`` its ledger. With ``replacing``, a table's attempt replaces only
    these of its files, and tables without an attempt stay.

    Raises:
        InputError: a table now has another schema.
        MovierateError: the numbers of rows written differ from the ledger's counts; nothing becomes visible.
        ConflictError: another run has published a lake meanwhile.
    """
    rejected = sum(counts.rejected for counts in tables.values())
    counted = {name: counts.accepted for name, counts in tables.items()} | {"rejected": rejected}
    partly = replacing or {}
    for name, attempt in attempts.items():
        staying = [] if replacing is None else to.tables[name].files.get(None, [])
        rows = attempt.rows + sum(each.rows or 0 for each in staying if each.name not in partly[name])
        if rows != counted.get(name, rows):
            raise MovierateError(
                f"{path / name}: {rows} rows written, {counted[name]} counted: did the input change?"
            )
    versions = {name: table.version for name, table in to.tables.items() if table.version is not None}
    for name, attempt in attempts.items():
        versions[name] = commit(attempt, to=to.tables[name], replacing=partly.get(name))
    _check_newest(path, versions)
    content: dict[str, Any] = {**made_of, "tables": tables, "versions": versions}
    if before is not None:  # only the last one: each names what was before it
        content["before"] = {key: value for key, value in before.content().items() if key != "before"}
    if state is not None:
        content["state"] = state
    ledger = Ledger.new(**content)
    _publish_ledger(path, ledger, to=to)
    return ledger


def _publish_ledger(path: Location, ledger: Ledger, *, to: LakeState) -> None:
    try:
        replace_json(path / LEDGER, ledger.content(), expected=to.ledger_tag)
    except FileExistsError as error:
        raise _lost(path) from error


def _check_newest(path: Location, versions: Mapping[str, int | None]) -> None:
    """Refuse versions that another run has already replaced, as its lake is newer."""
    newest = {name: open_table(path / name).version for name in versions}
    if newest != versions:
        raise _lost(path)


def _lost(path: Location) -> ConflictError:
    return ConflictError(f"{path}: another run has published its tables meanwhile; {LEDGER} stays as it is")
