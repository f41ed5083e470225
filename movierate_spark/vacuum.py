"""Remove what nobody reads any more: attempts that were never published, and what was long replaced."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from deltalake import DeltaTable

from movierate_spark.tables import remove_if_empty

ATTEMPT = re.compile(r"[0-9a-f]{32}")


def vacuum_table(
    path: Path, *, retention_hours: float, keep: Iterable[int] = (), dry_run: bool = False
) -> list[Path]:
    """Remove a table's files that are older than the retention and in no kept version; returns them.

    Kept are the newest version and those of ``keep``. A file that was never published is as old as its
    last change, one that was replaced as its replacement. Nothing is removed in a ``dry_run``.
    """
    table = DeltaTable(str(path))
    found = table.vacuum(
        int(retention_hours),
        dry_run=dry_run,
        enforce_retention_duration=False,
        full=True,
        keep_versions=sorted({table.version(), *keep}),
    )
    if not dry_run:
        remove_empty_attempts(path, older_than=time.time() - retention_hours * 3600)
    return [path / name for name in found]


def remove_empty_attempts(path: Path, *, older_than: float) -> None:
    """Remove attempt folders without data files, such as those of a run killed early."""
    for folder in _attempts(path):
        if folder.stat().st_mtime < older_than and not any(folder.rglob("*.parquet")):
            shutil.rmtree(folder, ignore_errors=True)
            remove_if_empty([folder.parent])


def _attempts(path: Path) -> Iterator[Path]:
    for depth in ("*", "*/*"):
        yield from (entry for entry in path.glob(depth) if entry.is_dir() and ATTEMPT.fullmatch(entry.name))
