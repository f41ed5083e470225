"""Remove unused files of a table: attempts that were never published, and replaced versions."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable
from urllib.parse import unquote

from movierate_spark.storage.files import (
    UNIQUE,
    files_below,
    folders_below,
    last_change,
    remove_if_empty,
    remove_tree,
)
from movierate_spark.storage.locations import Location
from movierate_spark.storage.tables import current_files, delta_table, log_entries


def vacuum_table(
    path: Location, *, retention_hours: float, keep: Iterable[int] = (), dry_run: bool = False
) -> list[Location]:
    """Remove a table's data files that are older than the retention; returns their paths.

    Files of the newest version and of the versions ``keep`` are not removed. The age of a file that was never
    published counts from its last change, that of a replaced file from its replacement. Folders of attempts
    go with their last data file, and so do those of a run that was killed before it wrote one. Nothing is
    removed in a ``dry_run``.
    """
    limit = time.time() - retention_hours * 3600
    modified = {entry.name: entry.modified for entry in files_below(path)}
    table = delta_table(path)
    unused = table.vacuum(
        math.floor(retention_hours),  # it accepts whole hours only
        dry_run=True,
        enforce_retention_duration=False,
        full=True,
        keep_versions=sorted({table.version(), *keep}),
    )
    # ``unused`` also has the .crc files of data files that are still in use.
    replaced = _replaced_at(path)
    names = [
        name
        for name in sorted(unused)
        if name.endswith(".parquet") and max(replaced.get(name, 0.0), modified.get(name, math.inf)) < limit
    ]
    if not dry_run:
        # Meanwhile, an undo may have gone back to files that were replaced long ago.
        names = sorted(set(names) - current_files(path))
        kept = {name for name in modified if _is_data(name)}.difference(names)
        attempts = _unused_attempts(path, kept=kept, removed=names, limit=limit)
        for name in names:
            file = path / name
            file.unlink(missing_ok=True)
            file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
        for folder in attempts:
            remove_tree(folder)
            remove_if_empty([folder.parent])
    return [path / name for name in names]


def _is_data(name: str) -> bool:
    """Whether it is a data file: Spark has never committed those in its ``_temporary``."""
    return name.endswith(".parquet") and "_temporary" not in name.split("/")


def _unused_attempts(
    path: Location, *, kept: Iterable[str], removed: Iterable[str], limit: float
) -> list[Location]:
    """The attempts' folders in which no data stay, if they are old or their data are removed now."""
    in_use, emptied = ({name.rpartition("/")[0] for name in names} for names in (kept, removed))
    return [
        path / name
        for name in folders_below(path, depth=2)
        if re.fullmatch(rf"([^/]+/)?{UNIQUE}", name)
        and name not in in_use
        and (name in emptied or last_change(path / name) < limit)
    ]


def _replaced_at(path: Location) -> dict[str, float]:
    """The epoch seconds at which files were removed from the table, as far as the log reaches back."""
    replaced: dict[str, float] = {}
    for entry in log_entries(path):
        for line in entry.read_text(encoding="utf-8").splitlines():
            if removed := json.loads(line).get("remove"):
                replaced[unquote(removed["path"])] = removed.get("deletionTimestamp", 0) / 1000
    return replaced
