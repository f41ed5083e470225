"""Digests of inputs: whether a run would read again what another has read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 20


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their names, hidden ones aside."""
    found = hashlib.sha256()
    for file in sorted(_files(path)):
        found.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            while chunk := content.read(CHUNK):
                found.update(chunk)
    return found.hexdigest()


def number_of(*parts: object) -> int:
    """A number of 63 bits that other parts (of JSON's kinds) are very unlikely to give."""
    text = json.dumps(parts, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in path.rglob("*"):
        hidden = any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        if file.is_file() and not hidden:
            yield file
