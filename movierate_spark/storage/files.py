"""Files and folders at any location: atomic writes, listings and removals."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from movierate_spark.storage.locations import FileEntry, Location, RemotePath

UNIQUE = r"[0-9a-f]{32}"
"""The pattern of a name that is unique to a run: a UUID's hexadecimal digits."""
CHUNK = 1 << 22
READERS = 16


def missing_folders(folder: Location) -> Sequence[Location]:
    """The folders that are missing on the way to a folder and itself, innermost first."""
    if isinstance(folder, RemotePath):
        return folder.missing_folders()
    return [each for each in (folder, *folder.parents) if not each.exists()]


def make_folder(folder: Location) -> None:
    """Create a folder and those above it, where the file system has folders."""
    if isinstance(folder, RemotePath):
        folder.make_folder()
    else:
        folder.mkdir(parents=True, exist_ok=True)


def claim_folder(folder: Location) -> None:
    """Create a folder that only one run may have.

    Raises:
        FileExistsError: there is one.
    """
    if not isinstance(folder, RemotePath):
        folder.mkdir(parents=True)
    elif folder.exists():
        raise FileExistsError(errno.EEXIST, "another run has made it", str(folder))


def symbolic_links(folder: Location) -> list[str]:
    """The symbolic links among a folder and what is below it; remote folders have none."""
    if isinstance(folder, RemotePath):
        return []
    links = (each for each in (folder, *sorted(folder.rglob("*"))) if each.is_symlink())
    return [each.relative_to(folder.parent).as_posix() for each in links]


def remove_if_empty(folders: Iterable[Location]) -> None:
    """Remove the folders that are empty, innermost first."""
    for folder in folders:
        if isinstance(folder, RemotePath):
            folder.remove_if_empty()
        else:
            with suppress(OSError):
                folder.rmdir()


def remove_tree(folder: Location) -> None:
    """Remove a folder with all that is in it, as far as that is possible."""
    if isinstance(folder, RemotePath):
        with suppress(OSError):
            folder.remove_tree()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def files_below(folder: Location) -> list[FileEntry]:
    """All files below a folder, sorted by name; empty if there is no folder."""
    if isinstance(folder, RemotePath):
        return folder.files()
    return sorted(_local_files(folder), key=lambda entry: entry.name)


def _local_files(folder: Path) -> Iterator[FileEntry]:
    for inside, _, names in os.walk(folder, followlinks=True):  # as in Spark
        for name in names:
            file = Path(inside) / name
            with suppress(FileNotFoundError):
                yield _local_entry(file, file.relative_to(folder).as_posix())


def folders_below(folder: Location, *, depth: int) -> list[str]:
    """The paths of the folders below a folder, down to a depth, sorted."""
    if isinstance(folder, RemotePath):
        return sorted(folder.folders(depth))
    levels = ("/".join("*" * level) for level in range(1, depth + 1))
    below = (each for level in levels for each in folder.glob(level) if each.is_dir())
    return sorted(each.relative_to(folder).as_posix() for each in below)


def touch_folder(folder: Location) -> None:
    """Set the time of a folder's last change to now, where the file system keeps one."""
    if not isinstance(folder, RemotePath):
        with suppress(OSError):
            os.utime(folder)


def entry_of(file: Location) -> FileEntry:
    """A file's own entry.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return file.entry() if isinstance(file, RemotePath) else _local_entry(file, file.name)


def file_entry(path: Location) -> FileEntry | None:
    """A file's own entry; None where there is a folder, or nothing."""
    if isinstance(path, RemotePath):
        return path.file_entry()
    return _local_entry(path, path.name) if path.exists() and not path.is_dir() else None


def _local_entry(file: Path, name: str) -> FileEntry:
    status = file.stat()
    tag = f"{status.st_ino}@{status.st_size}@{status.st_mtime_ns}"
    return FileEntry(name, status.st_size, status.st_mtime, tag)


def entries(folder: Location) -> list[str]:
    """The names in a folder, sorted, without incomplete files of killed runs; empty if there is no folder."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if not re.fullmatch(rf"\..+\.{UNIQUE}", name)]


def last_change(path: Location) -> float:
    """The last change (epoch seconds) of a file or of a folder's content; infinity if it is being removed."""
    try:
        if isinstance(path, RemotePath):
            files = path.files() or [path.entry()]
            return max(file.modified for file in files)
        return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return math.inf


def open_text(file: Location) -> BinaryIO:
    """The bytes of a file, uncompressed if its name ends with ``.gz``."""
    content = file.open("rb")
    return cast("BinaryIO", gzip.GzipFile(fileobj=content)) if file.suffix == ".gz" else content


ABSENT = ""
"""The tag of a file that does not exist."""


def tag_of(file: Location) -> str:
    """The tag of a file, or :data:`ABSENT`."""
    try:
        return entry_of(file).tag
    except FileNotFoundError:
        return ABSENT


def check_commits(table: Location) -> None:
    """Refuse a storage on which two runs could both publish.

    Raises:
        InputError: it lets two writers create the same file.
    """
    if isinstance(table, RemotePath):
        table.check_commits()


def read_all(files: Sequence[Location]) -> Iterator[bytes]:
    """The content of each file; remote ones are read several at a time, as each takes a round trip."""
    if not files or isinstance(files[0], Path):
        return (file.read_bytes() for file in files)
    with ThreadPoolExecutor(READERS) as readers:
        return readers.map(lambda file: file.read_bytes(), files)


def replace_json(
    path: Location, document: object, *, private: bool = False, expected: str | None = None
) -> None:
    """Write a JSON file as :func:`replace_text` does."""
    replace_text(path, as_json(document), private=private, expected=expected)


def as_json(document: object) -> str:
    """The JSON text of a document, as it is written to files."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def replace_text(path: Location, text: str, *, private: bool = False, expected: str | None = None) -> None:
    """Write a text file (UTF-8) atomically: a reader sees either the old or the new file.

    This also holds after a power failure, as the content is on disk before the file gets its name. With
    ``private``, only its owner may read it, where the file system knows owners. ``expected`` is the tag of
    the file that is replaced. Object stores compare it in the same step, others a moment before.

    Raises:
        FileExistsError: the file has another tag than ``expected``.
    """
    content = text.encode()
    if isinstance(path, RemotePath):
        path.replace_content(content, private=private, expected=expected)
        return
    if expected is not None and tag_of(path) != expected:
        raise FileExistsError(errno.EEXIST, "another run has written it", str(path))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
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


def write_chunks(path: Location, chunks: Iterable[bytes]) -> None:
    """Write a large file, piece by piece; not atomic where the file system is not."""
    if isinstance(path, RemotePath):
        path.write_chunks(chunks)
        return
    with path.open("wb") as file:
        file.writelines(chunks)


def chunks_of(file: Location) -> Iterator[bytes]:
    """The content of a file, in pieces."""
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            yield chunk


def move(source: Location, target: Location) -> None:
    """Give a file another name on the same file system, in place of a file that has it."""
    if isinstance(source, RemotePath) and isinstance(target, RemotePath):
        source.move_to(target)
    elif isinstance(source, Path) and isinstance(target, Path):
        source.replace(target)
    else:
        raise ValueError(f"{source} and {target} are on different file systems")
