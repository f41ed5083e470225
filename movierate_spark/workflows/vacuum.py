"""vacuum: remove files of a lake, model or table that are no longer used."""

from __future__ import annotations

import json
import time

from movierate_spark import schemas
from movierate_spark.errors import InputError
from movierate_spark.model import bundle
from movierate_spark.storage import lake
from movierate_spark.storage.files import entries, remove_tree
from movierate_spark.storage.locations import Location
from movierate_spark.storage.run_records import longest_run
from movierate_spark.storage.tables import is_delta_table
from movierate_spark.storage.vacuum import vacuum_table

LEAST_HOURS = 24.0


def vacuum_folder(
    folder: Location, *, retention_hours: float, even_recent: bool = False, dry_run: bool = False
) -> list[Location]:
    """Remove unpublished attempts and replaced versions older than the retention; returns their paths.

    What a ledger, a bundle or ``metrics.json`` names is never removed, but for the lake before the newest
    delivery, which a ledger names for ``undo``. Files younger than
    :func:`floor_hours` are kept too, unless ``even_recent`` is given. Nothing is removed in a ``dry_run``.

    Raises:
        InputError: the folder is no lake, model or table, it is a single table of a lake, or a lake's ledger
            can't be read.
    """
    folder = folder.resolve()  # "." has no name, and a symbolic link has another name
    if not even_recent:
        retention_hours = max(retention_hours, floor_hours(folder))
    if (folder / lake.LEDGER).is_file():
        return _vacuum_lake(folder, retention_hours=retention_hours, dry_run=dry_run)
    if (folder / bundle.MANIFEST).is_file():
        return _vacuum_model(folder, retention_hours=retention_hours, dry_run=dry_run)
    if (folder.parent / lake.LEDGER).exists() and folder.name in schemas.LAKE_AND_STATE:
        raise InputError(f"{folder}: a lake's table, and {lake.LEDGER} says what must stay: name the lake")
    if not is_delta_table(folder):
        raise InputError(f"{folder}: no lake, model or table lies there")
    beside = (folder / name for name in entries(folder) if name.startswith("_"))
    tables = [folder, *filter(is_delta_table, beside)]
    return [
        path
        for table in tables
        for path in vacuum_table(
            table, retention_hours=retention_hours, keep=_named_beside(table), dry_run=dry_run
        )
    ]


def _named_beside(table: Location) -> list[int]:
    """The version of the predictions that an evaluation's metrics were computed from, if there is one."""
    metrics = table.parent / "metrics.json"
    if not metrics.is_file():
        return []
    version = json.loads(metrics.read_text(encoding="utf-8")).get("predictions_version")
    return [] if version is None else [version]


def floor_hours(folder: Location) -> float:
    """Younger files may belong to a running job: a day, or twice the longest run recorded, if longer."""
    return max(LEAST_HOURS, 2 * longest_run(folder) / 3600)


def _vacuum_lake(folder: Location, *, retention_hours: float, dry_run: bool) -> list[Location]:
    versions = lake.read_ledger(folder)[0].versions
    paths = []
    for name in schemas.LAKE_AND_STATE:
        table = folder / name
        if is_delta_table(table):
            keep = [versions[name]] if name in versions else []
            paths += vacuum_table(table, retention_hours=retention_hours, keep=keep, dry_run=dry_run)
    return paths


def _vacuum_model(folder: Location, *, retention_hours: float, dry_run: bool) -> list[Location]:
    limit = time.time() - retention_hours * 3600
    old = [folder / name for name, replaced in bundle.replaced_at(folder).items() if replaced < limit]
    if not dry_run:
        for entry in old:
            remove_tree(entry)
    return old
