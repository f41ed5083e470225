"""What people deliver: three files in one of the formats that :data:`FORMATS` knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from movierate_spark.config import InputSettings
from movierate_spark.errors import InputError
from movierate_spark.inputs.csv_lines import read_csv
from movierate_spark.inputs.lines import TABLES
from movierate_spark.inputs.movielens import GENRE_NAMES, read_ml_1m, read_ml_100k
from movierate_spark.inputs.parquet_records import read_parquet


@dataclass(frozen=True)
class Format:
    """One of the ways in which three files are delivered.

    ``files`` are the names that a table's file may have, ``beside`` those of files that are read with them.
    ``read`` returns a table's lines, see :mod:`movierate_spark.inputs.lines`.
    """

    name: str
    files: Mapping[str, tuple[str, ...]]
    read: Callable[[SparkSession, str, Path, InputSettings], DataFrame]
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
    """The files of one delivery, by table; users may be missing."""

    format: Format
    paths: Mapping[str, Path]
    settings: InputSettings

    @property
    def rating_scale(self) -> tuple[float, float]:
        """The lowest and the highest rating: the settings' where they say, else the format's."""
        low, high = self.format.rating_scale
        chosen_low, chosen_high = self.settings.rating_min, self.settings.rating_max
        return (low if chosen_low is None else chosen_low, high if chosen_high is None else chosen_high)

    @property
    def files(self) -> list[Path]:
        """All that is read: the tables' files, and what names their columns."""
        folder = self.paths["ratings"].parent
        beside = [folder / name for name in self.format.beside if (folder / name).is_file()]
        return [*self.paths.values(), *beside]

    def read(self, spark: SparkSession, table: str) -> DataFrame:
        """The table's lines, all of them: see :mod:`movierate_spark.inputs.lines`."""
        return self.format.read(spark, table, self.paths[table], self.settings)


def find_delivery(folder: Path, *, format_name: str, settings: InputSettings) -> Delivery:
    """The files in ``folder``, their format told by their names unless it is given.

    Raises:
        InputError: no such folder, no or several known sets of files, a missing or an empty file.
    """
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
    _check_files(folder, format_, paths)
    return Delivery(format_, paths, settings)


def _paths(folder: Path, format_: Format) -> dict[str, Path]:
    paths = {}
    for table, names in format_.files.items():
        present = [name for name in (*names, *(f"{name}.gz" for name in names)) if (folder / name).exists()]
        if len(present) > 1:
            raise InputError(f"{folder}: both {' and '.join(present)} found; leave one", argument="source")
        if present:
            paths[table] = folder / present[0]
    for path in paths.values():
        if not (format_.takes_folders or path.is_file()):
            raise InputError(f"{path} is a folder: the {format_.name} format wants a file there")
    return paths


def _check_files(folder: Path, format_: Format, paths: Mapping[str, Path]) -> None:
    for table in ("ratings", "movies"):
        if table not in paths:
            name = format_.files[table][0]
            raise InputError(f"{folder}: {name} is missing ({format_.name} format)", argument="source")
    for path in paths.values():
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): deliver it again")


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "nothing"
