"""A delivery: the files of ratings, movies and optionally users, in one of :data:`FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from movierate_spark.config import InputSettings
from movierate_spark.errors import InputError
from movierate_spark.inputs.csv_lines import read_csv
from movierate_spark.inputs.lines import TABLES
from movierate_spark.inputs.movielens import GENRE_NAMES, read_ml_1m, read_ml_100k
from movierate_spark.inputs.parquet_records import read_parquet
from movierate_spark.storage.files import entries, entry_of
from movierate_spark.storage.locations import Location


@dataclass(frozen=True)
class Format:
    """A format of deliveries.

    ``files`` are the possible file names of each table, also with ``.gz``; ``beside`` are names of further
    files that are read if they exist. ``read`` returns a table's lines: see
    :mod:`movierate_spark.inputs.lines`. With ``takes_folders``, a table may be a folder.
    """

    name: str
    files: Mapping[str, tuple[str, ...]]
    read: Callable[[SparkSession, str, Location, InputSettings], DataFrame]
    rating_scale: tuple[float, float]
    beside: tuple[str, ...] = ()
    takes_folders: bool = False


FORMATS = {
    "ml-1m": Format(
        "ml-1m",
        {"ratings": ("ratings.dat",), "users": ("users.dat",), "movies": ("movies.dat",)},
        read_ml_1m,
        (1.0, 5.0),
    ),
    "ml-100k": Format(
        "ml-100k",
        {"ratings": ("u.data",), "users": ("u.user",), "movies": ("u.item",)},
        read_ml_100k,
        (1.0, 5.0),
        beside=(GENRE_NAMES,),
    ),
    "csv": Format(
        "csv",
        {"ratings": ("ratings.csv",), "users": ("users.csv",), "movies": ("movies.csv",)},
        read_csv,
        (0.5, 5.0),
    ),
    "parquet": Format(
        "parquet",
        {
            "ratings": ("ratings", "ratings.parquet"),
            "users": ("users", "users.parquet"),
            "movies": ("movies", "movies.parquet"),
        },
        read_parquet,
        (0.5, 5.0),
        takes_folders=True,
    ),
}


@dataclass(frozen=True)
class Delivery:
    """A delivery: the path of each table. There may be no users; if it is added to a lake, any may lack."""

    format: Format
    paths: Mapping[str, Location]
    settings: InputSettings

    @property
    def rating_scale(self) -> tuple[float, float]:
        """The lowest and the highest rating: from the settings if set, else the format's."""
        low, high = self.format.rating_scale
        low_set, high_set = self.settings.rating_min, self.settings.rating_max
        return (low if low_set is None else low_set, high if high_set is None else high_set)

    @property
    def files(self) -> list[Location]:
        """Everything that is read: the tables' files or folders, and the format's further files."""
        folder = next(iter(self.paths.values())).parent
        beside = [folder / name for name in self.format.beside if (folder / name).is_file()]
        return [*self.paths.values(), *beside]

    def read(self, spark: SparkSession, table: str) -> DataFrame:
        """All lines of a table: see :mod:`movierate_spark.inputs.lines`."""
        return self.format.read(spark, table, self.paths[table], self.settings)


def find_delivery(
    folder: Location, *, format_name: str, settings: InputSettings, complete: bool = True
) -> Delivery:
    """The delivery in ``folder``. With ``format_name`` "auto", the file names give the format.

    Unless it must be ``complete``, any of its tables may be missing.

    Raises:
        InputError: there is no such format or folder; the folder's files match no format or several; a file
            is there both plain and gzipped, missing, or empty; or there is a folder where the format has a
            file.
    """
    if format_name not in ("auto", *FORMATS):
        raise InputError(f"{format_name}: give one of auto, {', '.join(FORMATS)}", argument="format")
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}: name the folder that holds the three files", argument="source")
    formats = [FORMATS[format_name]] if format_name != "auto" else list(FORMATS.values())
    matches = [(each, paths) for each in formats if (paths := _paths(folder, each))]
    if not matches:
        names = " or ".join("/".join(each.files[table][0] for table in TABLES) for each in formats)
        raise InputError(f"{folder}: none of {names} found; it holds {_listing(folder)}", argument="source")
    if len(matches) > 1:
        names = " and ".join(each.name for each, _ in matches)
        raise InputError(f"{folder}: files of {names} lie there; name the format of one", argument="source")
    format_, paths = matches[0]
    _check_files(folder, format_, paths, needed=("ratings", "movies") if complete else ())
    return Delivery(format_, paths, settings)


def _paths(folder: Location, format_: Format) -> dict[str, Location]:
    paths, there = {}, set(entries(folder))
    for table, names in format_.files.items():
        present = [name for name in (*names, *(f"{name}.gz" for name in names)) if name in there]
        if len(present) > 1:
            raise InputError(f"{folder}: both {' and '.join(present)} found; leave one", argument="source")
        if present:
            paths[table] = folder / present[0]
    for path in paths.values():
        if not (format_.takes_folders or path.is_file()):
            raise InputError(f"{path} is a folder: the {format_.name} format wants a file there")
    return paths


def _check_files(
    folder: Location, format_: Format, paths: Mapping[str, Location], *, needed: Collection[str]
) -> None:
    for table in needed:
        if table not in paths:
            name = format_.files[table][0]
            raise InputError(f"{folder}: {name} is missing ({format_.name} format)", argument="source")
    for path in paths.values():
        if path.is_file() and not entry_of(path).size:
            raise InputError(f"{path} is empty (0 bytes): deliver it again")


def _listing(folder: Location) -> str:
    names = entries(folder)
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "nothing"
