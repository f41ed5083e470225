"""Atomic files: complete or absent, even if a run is killed."""

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
"""The pattern of a name that is unique to a run: a UUID's hexadecimal digits."""


def remove_if_empty(folders: Iterable[Path]) -> None:
    """Remove the folders that are empty, innermost first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def entries(folder: Path) -> list[str]:
    """The names in a folder, sorted, without incomplete files of killed runs; empty if there is no folder."""
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if not re.fullmatch(rf"\..+\.{UNIQUE}", name)]


def last_change(path: Path) -> float:
    """The last change (epoch seconds) of a file or of a folder's content; infinity if it is being removed."""
    try:
        return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return math.inf


def replace_json(path: Path, document: object, *, mode: int = 0o666) -> None:
    """Write a JSON file as :func:`replace_text` does."""
    replace_text(path, as_json(document), mode=mode)


def as_json(document: object) -> str:
    """The JSON text of a document, as it is written to files."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def replace_text(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a text file (UTF-8) atomically: a reader sees either the old or the new file.

    This also holds after a power failure, as the content is on disk before the file gets its name. The file
    is created with the permissions ``mode``, reduced by the umask.
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
    """Flush a folder's entries to disk if the file system can; errors are ignored, as the file is there."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
