"""A file or folder of a file system that is not this machine's."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Literal, Self


@dataclass(frozen=True)
class FileEntry:
    """A file below a folder: its path relative to the folder, and what identifies its content.

    ``size`` is in bytes and ``modified`` in epoch seconds. ``tag`` changes with the content; where the file
    system gives none, it is made from size and time.
    """

    name: str
    size: int
    modified: float
    tag: str


@dataclass(frozen=True, order=True)
class RemotePath(ABC):
    """A path below ``root`` (``scheme://host``), with the calls of :class:`pathlib.Path` that are needed.

    All calls raise OSError as :class:`pathlib.Path` does: FileNotFoundError for a missing file, another one
    if the file system can't be reached.
    """

    root: str
    key: str

    def __str__(self) -> str:
        return f"{self.root}/{self.key}"

    def __truediv__(self, name: str | PurePosixPath) -> Self:
        return type(self)(self.root, f"{self.key}/{name}".strip("/"))

    @property
    def name(self) -> str:
        """The last part of the path; empty for the root."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The suffix of the name, such as ``.gz``."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Self:
        """The folder that holds it; the root is its own."""
        return type(self)(self.root, self.key.rpartition("/")[0])

    def with_name(self, name: str) -> Self:
        """The location beside it with this name."""
        return self.parent / name

    def relative_to(self, other: RemotePath) -> PurePosixPath:
        """The path below ``other``.

        Raises:
            ValueError: it is not below ``other``.
        """
        if self.root != other.root:
            raise ValueError(f"{self} is not below {other}")
        return PurePosixPath(self.key).relative_to(other.key)

    def resolve(self) -> Self:
        """The location itself: it is absolute, and links are the file system's own business."""
        return self

    def exists(self) -> bool:
        """Whether there is a file, or a folder."""
        return self.is_file() or self.is_dir()

    def read_text(self, encoding: str = "utf-8") -> str:
        """A file's text."""
        return self.read_bytes().decode(encoding)

    def read_bytes(self) -> bytes:
        """A file's content."""
        with self.open() as file:
            return file.read()

    def iterdir(self) -> Iterator[Self]:
        """The files and folders in a folder."""
        return (self / name for name in self.names())

    def make_folder(self) -> None:
        """Create the folder, if this file system has folders."""

    def remove_if_empty(self) -> None:
        """Remove the folder if it is empty, and if this file system has folders."""

    def check_commits(self) -> None:
        """Refuse a file system that lets two writers create the same file.

        Raises:
            InputError: it does.
        """

    def missing_folders(self) -> list[Self]:
        """The folders that are missing on the way here, innermost first; none without folders."""
        return []

    def file_entry(self) -> FileEntry | None:
        """A file's own entry; None where there is a folder, or nothing."""
        try:
            return self.entry()
        except FileNotFoundError:
            return None

    def identity(self) -> str:
        """What stands for a file's content: two files with the same one have the same content."""
        return self.entry().tag

    def identities(self) -> dict[str, str]:
        """The :meth:`identity` of each file below a folder, by its path."""
        return {entry.name: entry.tag for entry in self.files()}

    @property
    def delta_options(self) -> Mapping[str, str]:
        """What ``deltalake`` needs to reach it: the same addresses and credentials as Spark's."""
        return {}

    @abstractmethod
    def is_file(self) -> bool:
        """Whether there is a file."""

    @abstractmethod
    def is_dir(self) -> bool:
        """Whether there is a folder. Without folders: whether a file's name begins with this path."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of the files and folders in a folder."""

    @abstractmethod
    def files(self) -> list[FileEntry]:
        """All files below a folder, sorted by name; empty without a folder."""

    @abstractmethod
    def folders(self, depth: int) -> set[str]:
        """The paths of the folders below this one, down to a depth."""

    @abstractmethod
    def entry(self) -> FileEntry:
        """A file's own entry, with its name."""

    @abstractmethod
    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """A file's content, for reading at any place."""

    @abstractmethod
    def replace_content(self, content: bytes, *, private: bool = False, expected: str | None = None) -> None:
        """Write a file so that a reader sees either the old or the new content.

        With ``private``, only its owner may read it, where the file system knows owners.

        Raises:
            FileExistsError: the file has another tag than ``expected`` (empty: there is none yet).
        """

    @abstractmethod
    def write_chunks(self, chunks: Iterable[bytes]) -> None:
        """Write a large file, in pieces; it is there after the last one."""

    @abstractmethod
    def move_to(self, target: Self) -> None:
        """Give a file another name, in place of a file that has it."""

    @abstractmethod
    def unlink(self, missing_ok: bool = False) -> None:
        """Remove a file."""

    def remove_tree(self) -> None:
        """Remove a folder with all that is in it.

        Raises:
            ValueError: it is the root, which may hold anything.
        """
        if not self.key:
            raise ValueError(f"{self}: a whole bucket or file system is never removed")
        self._remove_tree()

    @abstractmethod
    def _remove_tree(self) -> None:
        """Remove a folder that is not the root."""


class RangeReader(io.RawIOBase):
    """A file of ``size`` bytes that is read by ranges."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def read_range(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on."""
        raise NotImplementedError

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The place in the file."""
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read up to the buffer's length."""
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        content = self.read_range(self._at, length)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
