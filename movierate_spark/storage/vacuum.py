"""Remove what nobody reads any more: attempts that were never published, and what was long replaced."""

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
    """Remove a table's data files that are older than the retention and in no kept version; returns them.

    Kept are the newest version and those of ``keep``. A file that was never published is as old as its
    last change, one that was replaced as its replacement. Nothing is removed in a ``dry_run``.
    """
    limit = time.time() - retention_hours * 3600
    old_attempts = [folder for folder in _attempts(path) if last_change(folder) < limit]
    table = DeltaTable(delta_location(path))
    found = table.vacuum(
        math.floor(retention_hours),  # it knows whole hours only
        dry_run=True,
        enforce_retention_duration=False,
        full=True,
        keep_versions=sorted({table.version(), *keep}),
    )
    # Checksums lie beside data files that are still read.
    replaced = _replaced_at(path)
    files = [
        path / name
        for name in sorted(found)
        if name.endswith(".parquet") and max(replaced.get(name, 0.0), last_change(path / name)) < limit
    ]
    if not dry_run:
        for file in files:
            file.unlink(missing_ok=True)
            file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
        _remove_without_data([*old_attempts, *{file.parent for file in files}])
    return files


def _replaced_at(path: Path) -> dict[str, float]:
    """When each file that the log still knows of was taken out of the table, in seconds of the epoch."""
    replaced: dict[str, float] = {}
    for entry in log_entries(path):
        for line in entry.read_text(encoding="utf-8").splitlines():
            if removed := json.loads(line).get("remove"):
                replaced[unquote(removed["path"])] = removed.get("deletionTimestamp", 0) / 1000
    return replaced


def _remove_without_data(folders: Iterable[Path]) -> None:
    """Remove attempt folders without data files, such as those of a run killed early.

    What its tasks had written by then lies in Spark's ``_temporary``, and never became data.
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
