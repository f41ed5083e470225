"""A delivery of what is new, on top of a lake."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.inputs.delivery import find_delivery
from movierate_spark.inputs.ledger import added_up, count_orphans, unknown_counts, with_superseded
from movierate_spark.inputs.merging import Merge, merged
from movierate_spark.progress import Progress
from movierate_spark.storage import lake
from movierate_spark.storage.documents import DeliveryCounts, Ledger, TableCounts
from movierate_spark.storage.folders import lake_to_write
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.locations import Location
from movierate_spark.times import utc
from movierate_spark.workflows.keep_state import StateChange, state_change
from movierate_spark.workflows.prepare import (
    UNKNOWN,
    Preparation,
    PreparedLake,
    ReadDelivery,
    check_size,
    check_unchanged,
    made_of,
    read_delivery,
)


def add_delivery(
    spark: SparkSession, settings: Settings, progress: Progress, *, preparation: Preparation, target: Location
) -> PreparedLake:
    """Add a delivery to the lake ``target``, unless it was added before with the same settings.

    The ratings are then those that one delivery of everything would leave; of a user or movie, the row
    delivered last stays. Any of the three tables may be missing. A run that
    is killed leaves the lake as it was, and can be run again.

    Raises:
        InputError: there is no lake, or one that was cleaned with other settings; or the delivery can't be
            found or read, has another number of rows than expected, or too many of its rows are rejected.
        MovierateError: the files changed while they were read.
        ConflictError: another run has published a lake meanwhile.
    """
    source = preparation.source
    delivery = find_delivery(
        source, format_name=preparation.format_name, settings=settings.input, complete=False
    )
    state, before = lake_to_write(target), lake.open_lake(spark, target)
    provenance = made_of(delivery, settings)
    _check_addable(before, provenance)
    if not preparation.force and (same := _added_before(before.ledger, provenance)):
        check_size(delivery, same.tables, preparation.expected_rows)
        return PreparedLake(before.ledger, same, is_new=False)
    read = read_delivery(spark, delivery, settings, progress, preparation=preparation)
    with progress.step(f"add to {target}"), ExitStack() as stack:
        state = lake.at_versions(state, before.ledger.versions)
        merges = {
            name: stack.enter_context(merged(name, read.frames[name], state.tables[name]))
            for name in delivery.paths
        }
        kept = {
            name: with_superseded(read.counts[name], kept=merge.added_rows) for name, merge in merges.items()
        }
        added = DeliveryCounts(**provenance, tables=kept)
        tables = _counts_together(before, added, merges)
        has_re_ratings = bool(tables["ratings"].re_rated)
        change = stack.enter_context(
            state_change(
                before,
                merges,
                state.tables,
                settings,
                now=utc(int(time.time())),
                has_re_ratings=has_re_ratings,
            )
        )
        rows = {**_rows_to_write(read, merges), **change.rows}
        attempts = stack.enter_context(lake.publishing(target, rows))
        check_unchanged(delivery, settings, provenance)
        ledger = lake.publish(
            target,
            attempts,
            tables,
            {**_last_complete(before.ledger), "deliveries": [*_deliveries(before.ledger), added]},
            to=state,
            replacing=_files_to_replace(merges, change),
            before=before.ledger,
            state=change.entry,
        )
        return PreparedLake(ledger, added, is_new=True)


def _rows_to_write(read: ReadDelivery, merges: Mapping[str, Merge]) -> dict[str, DataFrame]:
    """The rows of the tables that change."""
    rows = {name: merge.rows for name, merge in merges.items() if merge.added_rows or merge.files}
    if any(counts.rejected for counts in read.counts.values()):
        rows["rejected"] = read.frames["rejected"]
    return rows


def _files_to_replace(merges: Mapping[str, Merge], change: StateChange) -> dict[str, frozenset[str]]:
    """The files of each table whose rows are written again; rejected rows only come on top."""
    files = {name: merge.files for name, merge in merges.items()}
    return {"rejected": frozenset(), **files, **change.files}


def _check_addable(before: Lake, provenance: Mapping[str, Any]) -> None:
    if before.ledger.tables["ratings"].re_rated is None:
        raise InputError(f"{before.path}: a lake of version 0.1, which can't be added to: prepare it again")
    if before.ledger.settings["clean"] != provenance["settings"]["clean"]:
        raise InputError(
            f"{before.path}: its rows were cleaned with other settings ([clean]): use the same, or prepare"
            " everything again"
        )


def _last_complete(ledger: Ledger) -> dict[str, Any]:
    """What the ledger says of the last delivery that was complete."""
    return {name: getattr(ledger, name) for name in ("format", "inputs", "settings", "made_by")}


def _deliveries(ledger: Ledger) -> list[DeliveryCounts]:
    """All deliveries that are in the lake, oldest first."""
    return [*ledger.deliveries] or [DeliveryCounts(**_last_complete(ledger), tables=ledger.tables)]


def _added_before(ledger: Ledger, provenance: Mapping[str, Any]) -> DeliveryCounts | None:
    """The same delivery, if the lake has it.

    But not if it has a rating that was rejected for a time in the future that has passed meanwhile.
    """
    now = time.time()
    for each in reversed(_deliveries(ledger)):
        if all(getattr(each, name) == provenance[name] for name in ("format", "inputs", "settings")):
            return each if all(counts.is_up_to_date(now) for counts in each.tables.values()) else None
    return None


def _counts_together(
    before: Lake, added: DeliveryCounts, merges: Mapping[str, Merge]
) -> dict[str, TableCounts]:
    """The counts of all deliveries, the added one included."""
    tables = dict(before.ledger.tables)
    for name, counts in added.tables.items():
        merge = merges[name]
        tables[name] = added_up(tables[name], counts, replaced=merge.replaced_rows)
        if name in UNKNOWN and merge.added_rows:
            after = merge.after(getattr(before, name))
            unknown = unknown_counts(after, UNKNOWN[name])
            tables[name] = tables[name].model_copy(update={"unknown": unknown})
    beside = {"re_rated": _re_rated(before, merges), "orphans": _orphans(before, tables, merges)}
    return {**tables, "ratings": tables["ratings"].model_copy(update=beside)}


def _re_rated(before: Lake, merges: Mapping[str, Merge]) -> int:
    re_rated = before.ledger.tables["ratings"].re_rated or 0
    if "ratings" not in merges:
        return re_rated
    merge = merges["ratings"]
    return re_rated + merge.added_rows - merge.replaced_rows - merge.new_ids


def _orphans(before: Lake, tables: Mapping[str, TableCounts], merges: Mapping[str, Merge]) -> int:
    """The number of ratings whose user or movie is in no table.

    Those that were there before are counted again only if their user or movie may be known now.
    """
    attributes = {
        name: merges[name].after(getattr(before, name)) if name in merges else getattr(before, name)
        for name in ("users", "movies")
    }
    earlier = before.ledger.tables
    orphans, have_users = earlier["ratings"].orphans or 0, tables["users"].accepted > 0
    may_be_known = orphans and any(merges[name].new_ids for name in attributes if name in merges)
    if may_be_known or have_users != (earlier["users"].accepted > 0):
        ratings = merges["ratings"].after(before.ratings) if "ratings" in merges else before.ratings
        return count_orphans(ratings, **attributes, have_users=have_users)
    if "ratings" not in merges:
        return orphans
    return orphans + count_orphans(merges["ratings"].new, **attributes, have_users=have_users)
