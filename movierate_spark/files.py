"""Files and folders that are whole or not there, whenever a run is killed."""

from __future__ import annotations

import json
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


def replace_json(path: Path, document: object) -> None:
    """Write a JSON file so that a reader sees the old or the new one, never a part."""
    replace_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) so that a reader sees the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
