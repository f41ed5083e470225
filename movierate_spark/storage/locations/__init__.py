"""Locations: files and folders of this machine, or of a file system of the cluster.

A location is a :class:`pathlib.Path`, or a :class:`RemotePath`, which answers the same calls. Few modules
ask which it is: this package, :mod:`movierate_spark.storage.files`, for the digests of files, and for the
start of Java's file systems.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from movierate_spark.errors import InputError
from movierate_spark.storage.locations.remote import FileEntry, RemotePath

__all__ = ["FileEntry", "Location", "RemotePath", "location_of", "uri_of"]

Location = Path | RemotePath
OBJECT_STORES = ("s3", "s3a", "abfs", "abfss", "gs")
HADOOP = ("hdfs", "viewfs")


def location_of(name: str | os.PathLike[str] | RemotePath) -> Location:
    """The location that a user named: a path of this machine, or a URI.

    Names in a URI are taken as they are, as Hadoop does. Only ``file:`` URIs are percent-decoded.

    Raises:
        InputError: it is a URI of another kind, without a bucket or host, or with a part that has no fixed
            meaning in all libraries that read it.
    """
    if isinstance(name, RemotePath):
        return name
    text = os.fspath(name)
    scheme, separator, rest = text.partition(":/")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+", scheme):
        return Path(text)
    scheme = scheme.lower()
    if scheme == "file":
        return Path(unquote(urlsplit(text).path))
    if scheme not in OBJECT_STORES + HADOOP:
        known = ", ".join(f"{each}://" for each in ("hdfs", *OBJECT_STORES))
        raise InputError(f"{text}: {scheme}: is not supported, as commits to it are not safe; use {known}")
    host, _, path = rest.removeprefix("/").partition("/")
    parts = [part for part in path.split("/") if part]
    if not rest.startswith("/") or not host:
        raise InputError(
            f"{text}: write it as {scheme}://{'bucket' if scheme in OBJECT_STORES else 'host'}/folder"
        )
    if "%" in path or {".", ".."}.intersection(parts):
        raise InputError(f"{text}: a URI's path can't hold %, . or ..: name another folder")
    return _remote(f"{scheme}://{host}", "/".join(parts))


def _remote(root: str, key: str) -> RemotePath:
    # Imported here, as most runs need neither of them.
    if root.partition("://")[0] in HADOOP:
        from movierate_spark.storage.locations.hadoop import HadoopPath

        return HadoopPath(root, key)
    from movierate_spark.storage.locations.object_store import ObjectPath

    return ObjectPath(root, key)


def uri_of(location: Location) -> str:
    """The URI by which Spark finds the location, whatever the cluster's default file system is."""
    if isinstance(location, RemotePath):
        return str(location)
    path = location.absolute()
    if ".." in path.parts:  # Hadoop would drop it together with the name before it, also if that is a link
        path = path.resolve() if path.name == ".." else path.parent.resolve() / path.name
    return f"file://{path}"
