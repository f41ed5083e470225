"""Object stores: S3, Azure and Google Cloud Storage, by ``obstore``, the client that ``deltalake`` has too.

They have no folders and no rename. A file is replaced by one PUT, which is atomic, and created by a PUT with
``If-None-Match: *``, which fails if the file exists.
"""

from __future__ import annotations

import errno
import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, Literal, Self, cast

import obstore
from obstore import exceptions
from obstore.store import from_url

from movierate_spark.errors import InputError
from movierate_spark.storage.locations.credentials import object_store_options
from movierate_spark.storage.locations.remote import FileEntry, RangeReader, RemotePath

CLIENT_OPTIONS = ("allow_http",)
BLOCK = 1 << 20
_CHECKED: set[str] = set()
"""The buckets that keep what commits rest on: of two creations of one object, the second fails."""


class ObjectPath(RemotePath):
    """A path in a bucket or container."""

    @property
    def delta_options(self) -> Mapping[str, str]:
        """What ``deltalake`` needs to reach the bucket."""
        return object_store_options(self.root)

    @property
    def _store(self) -> Any:
        return _store_of(self.root)

    @property
    def _prefix(self) -> str | None:
        return f"{self.key}/" if self.key else None

    def is_file(self) -> bool:
        """Whether there is an object with this name."""
        try:
            self.entry()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether an object's name begins with this path and a slash."""
        with _os_errors(self):
            first = next(iter(obstore.list(self._store, self._prefix, chunk_size=1)), [])
        return bool(first)

    def names(self) -> list[str]:
        """The next parts of the names that begin with this path."""
        with _os_errors(self):
            listed = obstore.list_with_delimiter(self._store, self._prefix)
        folders = [prefix.rstrip("/").rpartition("/")[2] for prefix in listed["common_prefixes"]]
        names = [entry["path"].rpartition("/")[2] for entry in listed["objects"]]
        return sorted({name for name in (*folders, *names) if name})

    def files(self) -> list[FileEntry]:
        """All objects whose name begins with this path and a slash, sorted by name."""
        with _os_errors(self):
            listed = obstore.list(self._store, self._prefix).collect()
        start = len(self._prefix or "")
        # Hadoop marks empty folders by objects without content whose names end with a slash.
        entries = (_entry(each, each["path"][start:]) for each in listed if len(each["path"]) > start)
        return sorted((entry for entry in entries if entry.name), key=lambda entry: entry.name)

    def folders(self, depth: int) -> set[str]:
        """The beginnings of the names below this path, up to a slash."""
        folders = (entry.name.split("/")[:-1] for entry in self.files())
        return {
            "/".join(parts[:level]) for parts in folders for level in range(1, min(depth, len(parts)) + 1)
        }

    def entry(self) -> FileEntry:
        """The object's size, time and entity tag."""
        with _os_errors(self):
            return _entry(obstore.head(self._store, self.key), self.name)

    def read_bytes(self) -> bytes:
        """The object's content."""
        with _os_errors(self):
            return bytes(obstore.get(self._store, self.key).bytes())

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """The object's content, fetched by ranges."""
        return cast("BinaryIO", io.BufferedReader(_Object(self), BLOCK))

    def replace_content(self, content: bytes, *, private: bool = False, expected: str | None = None) -> None:
        """One PUT; with ``expected`` only over the object with this entity tag.

        The client repeats a request whose answer is lost, and may then meet the object of its first try.
        """
        try:
            self._put(content, self._mode(expected))
        except FileExistsError:
            if not self._holds(content):
                raise

    def _mode(self, expected: str | None) -> Any:
        if not expected:
            return "overwrite" if expected is None else "create"
        with _os_errors(self):
            now = obstore.head(self._store, self.key)
        if now["e_tag"] != expected:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        # S3 and Azure compare the tag (If-Match), Google the version (x-goog-if-generation-match).
        version = {"version": now["version"]} if now["version"] else {}
        return {"e_tag": expected, **version}

    def _holds(self, content: bytes) -> bool:
        try:
            return self.read_bytes() == content
        except FileNotFoundError:  # another run has removed it
            return False

    def create(self, content: bytes) -> None:
        """One PUT with ``If-None-Match: *``."""
        self._put(content, "create")

    def _put(self, content: bytes, mode: Any) -> None:
        with _os_errors(self):
            obstore.put(self._store, self.key, content, mode=mode, use_multipart=False)

    def check_commits(self) -> None:
        """Some servers that speak S3 ignore ``If-None-Match``: try it in this folder, once for a bucket."""
        if self.root in _CHECKED:
            return
        if self._may_be_created_twice():
            raise InputError(
                f"{self}: this storage lets two runs create the same file (it ignores If-None-Match), so that"
                " they could undo each other's work: use another one"
            )
        _CHECKED.add(self.root)

    def _may_be_created_twice(self) -> bool:
        probe = self / f".movierate.{uuid.uuid4().hex}"
        probe.create(b"")
        try:
            probe.create(b"")
        except FileExistsError:
            return False
        finally:
            probe.unlink()
        return True

    def write_chunks(self, chunks: Iterable[bytes]) -> None:
        """An upload in parts, completed after the last one."""
        with _os_errors(self), obstore.open_writer(self._store, self.key) as file:
            for chunk in chunks:
                file.write(chunk)

    def move_to(self, target: Self) -> None:
        """Copy, then remove."""
        with _os_errors(self):
            obstore.copy(self._store, self.key, target.key)
            obstore.delete(self._store, self.key)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object; without an error if it is missing, as object stores do."""
        with _os_errors(self):
            obstore.delete(self._store, self.key)

    def _remove_tree(self) -> None:
        """Remove all objects whose name begins with this path and a slash."""
        with _os_errors(self):
            names = [entry["path"] for entry in obstore.list(self._store, self._prefix).collect()]
            if names:
                obstore.delete(self._store, names)


class _Object(RangeReader):
    def __init__(self, path: ObjectPath) -> None:
        super().__init__(path.entry().size)
        self._path = path

    def read_range(self, start: int, length: int) -> bytes:
        with _os_errors(self._path):
            return bytes(obstore.get_range(self._path._store, self._path.key, start=start, length=length))


@cache
def _store_of(root: str) -> Any:
    options = {name.lower(): value for name, value in object_store_options(root).items()}
    client: Any = {name: True for name in CLIENT_OPTIONS if options.pop(f"aws_{name}", None) == "true"}
    return from_url(root, config=cast("Any", options), client_options=client)


def _entry(meta: Any, name: str) -> FileEntry:
    modified = meta["last_modified"].timestamp()
    return FileEntry(name, meta["size"], modified, meta["e_tag"] or f"{meta['size']}@{modified}")


@contextmanager
def _os_errors(path: ObjectPath) -> Iterator[None]:
    """Turn the client's errors into those of :mod:`pathlib`."""
    try:
        yield
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
        raise FileExistsError(errno.EEXIST, "another run has written it", str(path)) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, f"not allowed ({_reason(error)})", str(path)) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except exceptions.BaseError as error:
        raise OSError(errno.EIO, _reason(error), str(path)) from error


def _reason(error: Exception) -> str:
    """The client's first line, without the server's page."""
    return re.split(r"\n|:? *<", str(error))[0]
