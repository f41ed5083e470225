"""Digests of inputs, to recognise a run with the same inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from movierate_spark.storage.files import files_below
from movierate_spark.storage.locations import Location, RemotePath


def sha256(content: bytes) -> str:
    """SHA-256 of bytes in memory."""
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Location) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's visible files.

    Remote files are not read: what their file system knows of their content stands for it.
    """
    if path.is_dir():
        lines = (f"{name} {digest}\n" for name, digest in _digests_below(path))
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    if isinstance(path, RemotePath):
        return path.identity()
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _digests_below(folder: Location) -> list[tuple[str, str]]:
    if isinstance(folder, RemotePath):
        identities = folder.identities()
        return [(name, identities[name]) for name in visible(identities)]
    return [(name, digest_of(folder / name)) for name in visible_files(folder)]


def number_of(*parts: object) -> int:
    """A 63-bit digest of ``parts``, which must be JSON values; the number is not negative."""
    text = json.dumps(parts, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def visible_files(folder: Location) -> list[str]:
    """The paths of the files below a folder that Spark reads, sorted."""
    return visible(entry.name for entry in files_below(folder))


def visible(names: Iterable[str]) -> list[str]:
    """The paths that Spark reads, sorted.

    It ignores names such as ``.x``, ``_x`` without a ``=``, and ``x._COPYING_``.
    """
    paths = sorted(name.split("/") for name in names)
    return ["/".join(parts) for parts in paths if not any(map(_is_hidden, parts))]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.endswith("._COPYING_") or (name.startswith("_") and "=" not in name)
