"""Files and folders that are whole or not there, whenever a run is killed."""

from __future__ import annotations

import json
import math
import os
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

UNIQUE = r"[0-9a-f]{32}"
"""A name that no other run gives: a UUID's digits."""


def remove_if_empty(folders: Iterable[Path]) -> None:
    """Remove the folders that are empty, innermost first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def entries(folder: Path) -> list[str]:
    """Names in a folder, sorted, but for files that a killed run had half written; none without a folder."""
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if not re.fullmatch(rf"\..+\.{UNIQUE}", name)]


def last_change(path: Path) -> float:
    """When a file, or anything in a folder, was changed last; the end of time where it goes meanwhile."""
    try:
        return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return math.inf


def replace_json(path: Path, document: object, *, mode: int = 0o666) -> None:
    """Write a JSON file as :func:`replace_text` does."""
    replace_text(path, as_json(document), mode=mode)


def as_json(document: object) -> str:
    """A document as it is written to a file."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def replace_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a text file (UTF-8) so that a reader sees the old or the new one, never a part.

    That holds after a power failure, too: its content is on the disk before it gets its name. The file has
    the permissions of ``mode`` from its first byte on, less what the umask takes.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where its file system can; the file has its name already."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
