"""Digests of inputs: whether a run would read again what another has read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path


def sha256(content: bytes) -> str:
    """SHA-256 of bytes that have been read, for whoever parses the very same."""
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's files, hidden ones aside."""
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    lines = (
        f"{file.relative_to(path).as_posix()} {digest_of(file)}\n" for file in sorted(visible_files(path))
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def number_of(*parts: object) -> int:
    """A number of 63 bits that other parts (of JSON's kinds) are very unlikely to give."""
    text = json.dumps(parts, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def visible_files(folder: Path) -> Iterator[Path]:
    """The files below a folder but for Spark's hidden ones: ``.x``, and ``_x`` without a ``=``."""
    for inside, folders, names in os.walk(folder, followlinks=True):  # as Spark does
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (Path(inside) / name for name in names if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)
