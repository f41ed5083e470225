"""How ``deltalake`` finds a table."""

from __future__ import annotations

import atexit
import hashlib
import re
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote

from movierate_spark.storage.locations import Location, RemotePath

LOG = "_delta_log"


def delta_location(path: Location) -> str:
    """The location of the table for ``deltalake``: ``path``, or a folder of symbolic links to its content.

    ``deltalake`` reads a path as a URI: brackets in it end Python with a panic, and ``%41`` becomes ``A``.
    """
    if isinstance(path, RemotePath):
        return f"{path.root}/{quote(path.key)}"
    table = path.resolve()
    if re.fullmatch(r"[A-Za-z0-9/._=-]+", str(table)):
        return str(path)
    (table / LOG).mkdir(exist_ok=True)
    links = _folder_of_links() / hashlib.sha256(str(table).encode()).hexdigest()
    links.mkdir(exist_ok=True)
    for entry in table.iterdir():
        with suppress(FileExistsError):
            (links / entry.name).symlink_to(entry)
    return str(links)


def delta_options(path: Location) -> dict[str, str] | None:
    """What ``deltalake`` needs to reach a table's file system."""
    return dict(path.delta_options) if isinstance(path, RemotePath) else None


@cache
def _folder_of_links() -> Path:
    """A temporary folder of this process, whose name has no special characters unless ``TMPDIR`` has."""
    folder = tempfile.mkdtemp(prefix="movierate-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
