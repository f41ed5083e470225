"""HDFS, by Hadoop's own client in the JVM that Spark has anyway.

A file is replaced by a rename that overwrites, which HDFS does in one step. A new file gets its name by a
rename that does not overwrite.
"""

from __future__ import annotations

import errno
import io
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, Literal, Self, cast

from py4j.protocol import Py4JJavaError

from movierate_spark.spark_internals import hadoop_configuration, java_array, running_jvm
from movierate_spark.storage.locations.credentials import hdfs_options
from movierate_spark.storage.locations.remote import FileEntry, RangeReader, RemotePath

BLOCK = 1 << 20
PRIVATE = 0o600
ERRORS = {
    "FileNotFoundException": errno.ENOENT,
    "FileAlreadyExistsException": errno.EEXIST,
    "AccessControlException": errno.EACCES,
}
"""Java's exceptions, and what Python calls them."""


class HadoopPath(RemotePath):
    """A path of a Hadoop file system."""

    @property
    def delta_options(self) -> Mapping[str, str]:
        """What ``deltalake`` needs to find the name nodes."""
        return hdfs_options()

    @property
    def _fs(self) -> Any:
        return _file_system(self.root)

    @property
    def _path(self) -> Any:
        return running_jvm().org.apache.hadoop.fs.Path(str(self))

    def exists(self) -> bool:
        """Whether there is a file or a folder."""
        return self._status() is not None

    def is_file(self) -> bool:
        """Whether there is a file."""
        status = self._status()
        return status is not None and status.isFile()

    def is_dir(self) -> bool:
        """Whether there is a folder."""
        status = self._status()
        return status is not None and status.isDirectory()

    def _status(self) -> Any:
        try:
            with _os_errors(self):
                return self._fs.getFileStatus(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self) -> list[str]:
        """The names in the folder."""
        with _os_errors(self):
            return sorted(each.getPath().getName() for each in self._fs.listStatus(self._path))

    def files(self) -> list[FileEntry]:
        """All files below the folder, sorted by name."""
        try:
            return sorted(self._files(), key=lambda entry: entry.name)
        except FileNotFoundError:
            return []

    def _files(self) -> Iterator[FileEntry]:
        with _os_errors(self):
            listed = self._fs.listFiles(self._path, True)
            start = len(self._path.toUri().getPath().rstrip("/")) + 1
            while listed.hasNext():
                status = listed.next()
                yield _entry(status, status.getPath().toUri().getPath()[start:])

    def folders(self, depth: int) -> set[str]:
        """The paths of the folders below this one, down to a depth."""
        with _os_errors(self):
            listed = self._fs.listStatus(self._path) if depth else []
            names = [each.getPath().getName() for each in listed if each.isDirectory()]
        below = {f"{name}/{each}" for name in names for each in (self / name).folders(depth - 1)}
        return {*names, *below}

    def entry(self) -> FileEntry:
        """The file's size and time."""
        with _os_errors(self):
            return _entry(self._fs.getFileStatus(self._path), self.name)

    def file_entry(self) -> FileEntry | None:
        """A file's own entry; None where there is a folder, or nothing."""
        status = self._status()
        return _entry(status, self.name) if status is not None and status.isFile() else None

    def identity(self) -> str:
        """The checksum that HDFS keeps; the file's size and time on a file system without checksums."""
        with _os_errors(self):
            checksum = self._fs.getFileChecksum(self._path)
        if checksum is None:
            return self.entry().tag
        return f"{checksum.getAlgorithmName()}:{bytes(checksum.getBytes()).hex()}"

    def identities(self) -> dict[str, str]:
        """The checksum of each file below the folder."""
        return {entry.name: (self / entry.name).identity() for entry in self.files()}

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """The file's content."""
        with _os_errors(self):
            return cast("BinaryIO", io.BufferedReader(_File(self), BLOCK))

    def replace_content(self, content: bytes, *, private: bool = False, expected: str | None = None) -> None:
        """Write a file beside it, then rename it. A tag is compared a moment before.

        The name node lets one of those win that expect no file, as their rename does not overwrite.
        """
        if expected and self._tag() != expected:
            raise FileExistsError(errno.EEXIST, "another run has written it", str(self))
        temporary = self.with_name(f".{self.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_chunks([content])
            if private:
                permission = running_jvm().org.apache.hadoop.fs.permission.FsPermission
                with _os_errors(temporary):
                    self._fs.setPermission(temporary._path, permission.createImmutable(PRIVATE))
            temporary._rename(self, overwrite=expected != "")
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _tag(self) -> str:
        status = self._status()
        return "" if status is None else _entry(status, self.name).tag

    def write_chunks(self, chunks: Iterable[bytes]) -> None:
        """Write the file; a reader sees it grow."""
        with _os_errors(self):
            out = self._fs.create(self._path, True)
            try:
                for chunk in chunks:
                    out.write(chunk)
                out.hsync()
            finally:
                out.close()

    def move_to(self, target: Self) -> None:
        """A rename that overwrites."""
        self._rename(target, overwrite=True)

    def _rename(self, target: Self, *, overwrite: bool) -> None:
        jvm = running_jvm()
        rename = jvm.org.apache.hadoop.fs.Options.Rename
        options = java_array(rename, [rename.OVERWRITE if overwrite else rename.NONE])
        with _os_errors(self):
            context = jvm.org.apache.hadoop.fs.FileContext.getFileContext(
                self._fs.getUri(), self._fs.getConf()
            )
            context.rename(self._path, target._path, options)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        with _os_errors(self):
            if not self._fs.delete(self._path, False) and not missing_ok:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))

    def _remove_tree(self) -> None:
        """Remove the folder."""
        with _os_errors(self):
            self._fs.delete(self._path, True)

    def make_folder(self) -> None:
        """Create the folder and those above it."""
        with _os_errors(self):
            self._fs.mkdirs(self._path)

    def remove_if_empty(self) -> None:
        """Remove the folder if it is empty."""
        try:
            if self.is_dir() and not self.names():
                self.unlink(missing_ok=True)
        except OSError:
            pass  # another run has written to it meanwhile

    def missing_folders(self) -> list[Self]:
        """The folders that are missing on the way here, innermost first."""
        missing, folder = [], self
        while folder.key and not folder.exists():
            missing.append(folder)
            folder = folder.parent
        return missing


class _File(RangeReader):
    def __init__(self, path: HadoopPath) -> None:
        super().__init__(path.entry().size)
        self._path, self._stream = path, path._fs.open(path._path)

    def read_range(self, start: int, length: int) -> bytes:
        with _os_errors(self._path):
            self._stream.seek(start)
            return bytes(self._stream.readNBytes(length))

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


@cache
def _file_system(root: str) -> Any:
    """The file system as it is configured for Spark. Hadoop caches it by user, so that it is opened once."""
    jvm = running_jvm()
    return jvm.org.apache.hadoop.fs.FileSystem.get(jvm.java.net.URI(root), hadoop_configuration())


def _entry(status: Any, name: str) -> FileEntry:
    size, modified = status.getLen(), status.getModificationTime() / 1000
    return FileEntry(name, size, modified, f"{size}@{modified}")


@contextmanager
def _os_errors(path: HadoopPath) -> Iterator[None]:
    """Turn Java's exceptions into those of :mod:`pathlib`."""
    try:
        yield
    except Py4JJavaError as error:
        kind = error.java_exception.getClass().getSimpleName()
        message = str(error.java_exception.getMessage()).partition("\n")[0]
        # HDFS calls it a matter of access to look below a file.
        number = errno.ENOTDIR if "is not a directory" in message else ERRORS.get(kind, errno.EIO)
        # OSError itself chooses the subclass, such as FileNotFoundError.
        raise OSError(number, f"{message} ({kind})", str(path)) from error
