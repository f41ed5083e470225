"""Remove unused files of a table: attempts that were never published, and replaced versions."""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable

from movierate_spark.storage.files import UNIQUE, last_change, remove_if_empty
from movierate_spark.storage.tables import delta_location, log_entries


def vacuum_table(
    path: Path, *, retention_hours: float, keep: Iterable[int] = (), dry_run: bool = False
) -> list[Path]:
    """Remove a table's data files that are older than the retention; returns their paths.

    Files of the newest version and of the versions ``keep`` are not removed. The age of a file that was never
    published counts from its last change, that of a replaced file from its replacement. Nothing is removed in
    a ``dry_run``.
    """
    limit = time.time() - retention_hours * 3600
    old_attempts = [folder for folder in _attempts(path) if last_change(folder) < limit]
    table = DeltaTable(delta_location(path))
    unused = table.vacuum(
        math.floor(retention_hours),  # it accepts whole hours only
        dry_run=True,
        enforce_retention_duration=False,
        full=True,
        keep_versions=sorted({table.version(), *keep}),
    )
    # ``unused`` also has the .crc files of data files that are still in use.
    replaced = _replaced_at(path)
    files = [
        path / name
        for name in sorted(unused)
        if name.endswith(".parquet") and max(replaced.get(name, 0.0), last_change(path / name)) < limit
    ]
    if not dry_run:
        for file in files:
            file.unlink(missing_ok=True)
            file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
        _remove_without_data([*old_attempts, *{file.parent for file in files}])
    return files


def _replaced_at(path: Path) -> dict[str, float]:
    """The epoch seconds at which files were removed from the table, as far as the log reaches back."""
    replaced: dict[str, float] = {}
    for entry in log_entries(path):
        for line in entry.read_text(encoding="utf-8").splitlines():
            if removed := json.loads(line).get("remove"):
                replaced[unquote(removed["path"])] = removed.get("deletionTimestamp", 0) / 1000
    return replaced


def _remove_without_data(folders: Iterable[Path]) -> None:
    """Remove attempt folders without data files, such as those of a run that was killed early.

    Files in Spark's ``_temporary`` are not data: they were never committed by Spark.
    """
    for folder in folders:
        data = (file.relative_to(folder) for file in folder.rglob("*.parquet"))
        if re.fullmatch(UNIQUE, folder.name) and all(file.parts[0].startswith("_") for file in data):
            shutil.rmtree(folder, ignore_errors=True)
            remove_if_empty([folder.parent])


def _attempts(path: Path) -> Iterator[Path]:
    for depth in ("*", "*/*"):
        yield from (
            entry for entry in path.glob(depth) if entry.is_dir() and re.fullmatch(UNIQUE, entry.name)
        )
