"""A person whom no log, record or report may know: a user's id and zip code, and broken rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

USER, ZIP, ROW = 918_273_645, "86753", "canary"
# A number of its own, also as a float: not the digits inside a longer one, or before or behind its point.
TRACES = re.compile(rf"(?<![\d.])({USER}|{ZIP})(?!\d|\.\d*[1-9])|{ROW}")


def with_canary(folder: Path, *, instead_of: int) -> None:
    """Give a user of a delivery in MovieLens 1M's layout the canary's id and zip, and add broken rows."""
    ratings, users = folder / "ratings.dat", folder / "users.dat"
    renamed = re.sub(rf"(?m)^{instead_of}::", f"{USER}::", ratings.read_text(encoding="iso-8859-1"))
    broken = f"{USER}::{ROW}::5::978300760\n{ROW}::{USER}\n"
    ratings.write_text(renamed + broken, encoding="iso-8859-1")
    zip_code = re.compile(rf"(?m)^{instead_of}::(.*)::[^:\n]*$")
    people = zip_code.sub(rf"{USER}::\g<1>::{ZIP}", users.read_text(encoding="iso-8859-1"))
    users.write_text(f"{people}{USER + 1}::{ROW}::{ROW}::{ROW}::{ZIP}\n", encoding="iso-8859-1")


def traces(files: Iterable[Path]) -> dict[str, str]:
    """Where a trace of the canary lies: the file, and what is around it."""
    places = {}
    for file in files:
        for text in texts(file):
            if trace := TRACES.search(text):
                places[str(file)] = text[max(trace.start() - 80, 0) : trace.end() + 80]
    return places


def texts(file: Path) -> Iterator[str]:
    """What can be read in a file; Parquet is unpacked."""
    if file.suffix == ".parquet":
        yield str(pq.read_table(file).to_pylist())
    else:
        yield file.read_bytes().decode("utf-8", "replace")
