"""Digests of inputs, to recognise a run with the same inputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path


def sha256(content: bytes) -> str:
    """SHA-256 of bytes in memory."""
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's visible files."""
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    lines = (
        f"{file.relative_to(path).as_posix()} {digest_of(file)}\n" for file in sorted(visible_files(path))
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def number_of(*parts: object) -> int:
    """A 63-bit digest of ``parts``, which must be JSON values; the number is not negative."""
    text = json.dumps(parts, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def visible_files(folder: Path) -> Iterator[Path]:
    """The files below a folder that Spark reads: not ``.x``, nor ``_x`` without a ``=``."""
    for inside, folders, names in os.walk(folder, followlinks=True):  # as in Spark
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (Path(inside) / name for name in names if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)
