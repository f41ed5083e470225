"""Delivered files to frames of raw lines and their fields as text: nothing is judged or lost here.

Every reader returns one row per line (per record of a Parquet file), CSV headers aside, with
``raw`` (the line as text), ``source_file`` (its name), ``complete`` (the number of fields is right)
and the table's columns as strings, null where a line is too short.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from movierate_spark.columns import decoded, present
from movierate_spark.config import InputSettings
from movierate_spark.errors import InputError
from movierate_spark.storage.digests import visible_files
from movierate_spark.storage.tables import (
    SOURCE_FILE,
    is_delta_table,
    pattern_of,
    read_delta,
    reader,
    source_file,
)

CHUNK = 1 << 20
DAMAGED = r"Unexpected end of input stream|IOException: (.*gzip|invalid |incorrect )"
"""How Hadoop names what is wrong with a gzip file."""
TABLES = ("ratings", "users", "movies")
COLUMNS = {
    "ratings": ("user_id", "movie_id", "rating", "rated_at"),
    "users": ("user_id", "gender", "age", "occupation", "zip"),
    "movies": ("movie_id", "title", "genres", "year"),
}
GENRE_NAMES = "u.genre"
# u.item has a flag for each, in this order, which u.genre repeats.
ML_100K_GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]


@dataclass(frozen=True)
class Format:
    """One of the ways in which three files are delivered."""

    name: str
    files: Mapping[str, tuple[str, ...]]
    read: Callable[[SparkSession, str, Path, InputSettings], DataFrame]
    rating_scale: tuple[float, float]
    beside: tuple[str, ...] = ()


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
        """The table's lines, all of them: see the module's docstring for the columns."""
        return self.format.read(spark, table, self.paths[table], self.settings)


def find_delivery(folder: Path, *, format_name: str, settings: InputSettings) -> Delivery:
    """The files in ``folder``, their format told by their names unless it is given.

    Raises:
        InputError: no such folder, no or several known sets of files, a missing or an empty file.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"--input {folder} {what}: name the folder that holds the three files")
    candidates = [FORMATS[format_name]] if format_name != "auto" else list(FORMATS.values())
    found = [(known, paths) for known in candidates if (paths := _paths(folder, known))]
    if not found:
        names = " or ".join("/".join(known.files[t][0] for t in TABLES) for known in candidates)
        raise InputError(f"--input {folder}: none of {names} found; it holds {_listing(folder)}")
    if len(found) > 1:
        names = " and ".join(known.name for known, _ in found)
        raise InputError(f"--input {folder}: files of {names} lie there; name one with --format")
    known, paths = found[0]
    for table in ("ratings", "movies"):
        if table not in paths:
            raise InputError(f"--input {folder}: {known.files[table][0]} is missing ({known.name} format)")
    for path in paths.values():
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): deliver it again")
    return Delivery(known, paths, settings)


def _paths(folder: Path, known: Format) -> dict[str, Path]:
    paths = {}
    for table, names in known.files.items():
        present_names = [n for n in (*names, *(f"{n}.gz" for n in names)) if (folder / n).exists()]
        if len(present_names) > 1:
            raise InputError(f"--input {folder}: both {' and '.join(present_names)} found; leave one")
        if present_names:
            paths[table] = folder / present_names[0]
    for path in paths.values():
        if known.name != "parquet" and not path.is_file():
            raise InputError(f"{path} is a folder: the {known.name} format wants a file there")
    return paths


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Refuse a gzip file that the block finds cut off or damaged: whoever reads it to its end is told so.

    Raises:
        InputError: it does not end as it should, or its checksum is another.
    """
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, Py4JJavaError, PySparkException) as error:
        is_told_by_spark = isinstance(error, Py4JJavaError | PySparkException)
        if path.suffix != ".gz" or (is_told_by_spark and not re.search(DAMAGED, str(error))):
            raise
        raise InputError(f"{path}: the gzip file is damaged or cut off: deliver it again") from error


def first_line(path: Path) -> str:
    """The first line of a text file, plain or gzip, as :func:`read_lines` has it; no Spark is needed for it.

    Raises:
        InputError: a gzip file that is damaged there already.
    """
    with whole(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as content:
        line = re.split(rb"[\r\n]", content.readline(CHUNK), maxsplit=1)[0]
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("ISO-8859-1")


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "nothing"


def read_lines(spark: SparkSession, path: Path) -> DataFrame:
    """One row per line of a text file, plain or gzip: ``raw``, ``source_file``, ``first``.

    ``first`` marks the file's first line. Blank lines stay.
    """
    lines = reader(spark).text(pattern_of(path))
    # Spark numbers the rows of a partition in order, and a file's first split opens a partition.
    row_in_partition = F.monotonically_increasing_id().bitwiseAND(F.lit((1 << 33) - 1))
    return lines.select(
        decoded(F.col("value")).alias("raw"),
        source_file().alias("source_file"),
        ((F.col("_metadata.file_block_start") == 0) & (row_in_partition == 0)).alias("first"),
    )


def _table(lines: DataFrame, table: str, columns: Mapping[str, Column], complete: Column) -> DataFrame:
    texts = [columns.get(name, F.lit(None)).cast("string").alias(name) for name in COLUMNS[table]]
    return lines.select("raw", "source_file", complete.alias("complete"), *texts)


def _by_position(lines: DataFrame, table: str, fields: Column, names: tuple[str, ...]) -> DataFrame:
    split = lines.withColumn("fields", fields)
    columns = {name: F.get("fields", F.lit(i)) for i, name in enumerate(names)}
    return _table(split, table, columns, F.size("fields") == len(names))


def read_ml_1m(spark: SparkSession, table: str, path: Path, _: InputSettings) -> DataFrame:
    """A table in MovieLens 1M's layout: ``::`` between fields."""
    names = {"movies": ("movie_id", "title", "genres")}.get(table, COLUMNS[table])
    return _by_position(read_lines(spark, path), table, F.split("raw", "::", -1), names)


def read_ml_100k(spark: SparkSession, table: str, path: Path, _: InputSettings) -> DataFrame:
    """A table in MovieLens 100K's layout: tabs or ``|`` between fields, a flag for each genre."""
    lines = read_lines(spark, path)
    if table == "ratings":
        return _by_position(lines, table, F.split("raw", "\t", -1), COLUMNS["ratings"])
    fields = F.split("raw", r"\|", -1)
    if table == "users":
        return _by_position(lines, table, fields, ("user_id", "age", "gender", "occupation", "zip"))
    split = lines.withColumn("fields", fields)
    names = _genre_names(spark, path.parent / GENRE_NAMES)
    genres = [
        F.when(F.trim(F.get("fields", F.lit(5 + i))) == "1", F.lit(name))
        for i, name in enumerate(names)
        if name != "unknown"
    ]
    columns = {
        "movie_id": F.get("fields", F.lit(0)),
        "title": F.get("fields", F.lit(1)),
        "genres": F.concat_ws("|", *genres),
        "year": F.regexp_extract(F.get("fields", F.lit(2)), r"-(\d{4})\s*\z", 1),
    }
    return _table(split, table, columns, F.size("fields") == 5 + len(names))


def _genre_names(spark: SparkSession, path: Path) -> list[str]:
    """The genres in the order of their flags, from ``u.genre`` (``name|number``) where it lies there."""
    if not path.is_file():
        return ML_100K_GENRES
    cut = F.split("raw", r"\|")
    number = F.get(cut, F.lit(1)).try_cast("int")
    rows = read_lines(spark, path).select(number.alias("number"), F.get(cut, F.lit(0)).alias("name"))
    return [row["name"] for row in rows.where("number is not null").sort("number", "name").head(1000)]


def read_csv(spark: SparkSession, table: str, path: Path, settings: InputSettings) -> DataFrame:
    """A table in the csv format: a header, fields quoted where they hold the separator.

    Raises:
        InputError: the header lacks a column, or names one twice.
    """
    lines = read_lines(spark, path)
    header = parse_csv_line(first_line(path), settings.separator)
    wanted: dict[str, str] = dict(getattr(settings.columns, table))
    missing = [name for name in wanted.values() if name not in header]
    if missing:
        # A first line with numbers is no header but somebody's row, which is nobody's business.
        is_row = any(re.fullmatch(r"[\d.,:-]+", name) for name in header)
        found = "no header" if is_row else f"the header {', '.join(header)}"
        raise InputError(
            f"{path}: missing column(s) {', '.join(missing)}; its first line is {found}."
            f" Name them in conf under [input.columns.{table}], or the separator under [input]"
        )
    check_each_named_once(str(path), header)
    split = lines.where(~F.col("first")).withColumn("fields", csv_fields(F.col("raw"), settings.separator))
    columns = {name: F.get("fields", F.lit(header.index(title))) for name, title in wanted.items()}
    return _table(split, table, columns, F.size("fields") == len(header))


def check_each_named_once(where: str, header: Sequence[str]) -> None:
    """Refuse a header that has a name twice, as nobody can tell which column is meant; '' is no name.

    Raises:
        InputError: it has.
    """
    repeated = [name for name, times in Counter(header).items() if name and times > 1]
    if repeated:
        raise InputError(f"{where}: its header names {', '.join(repeated)} more than once: leave one of each")


def parse_csv_line(line: str, separator: str) -> list[str]:
    """The fields of a header line; quotes around a name are cut."""
    return [field.strip().strip('"') for field in line.split(separator)]


def csv_fields(line: Column, separator: str) -> Column:
    """The fields of a CSV line as an array; ``""`` inside quotes is a quote.

    Cut at the quotes, every second piece lies inside them: separators there are hidden behind a
    character that Unicode keeps out of text, and the rest is a plain split. Linear in the line's
    length, which a regular expression for quoted fields is not.
    """
    hidden = "\uffff"
    pattern = re.escape(separator)
    pieces = F.transform(
        F.split(line, '"', -1),
        lambda piece, i: F.when(i % 2 == 1, F.replace(piece, F.lit(separator), F.lit(hidden))).otherwise(
            piece
        ),
    )
    quoted = F.transform(
        F.split(F.array_join(pieces, '"'), pattern, -1),
        lambda field: _unquoted(F.replace(field, F.lit(hidden), F.lit(separator))),
    )
    return F.when(F.contains(line, F.lit('"')), quoted).otherwise(F.split(line, pattern, -1))


def _unquoted(field: Column) -> Column:
    inside = F.regexp_extract(field, r'(?s)\A *"(.*)" *\z', 1)
    is_quoted = F.rlike(field, F.lit(r'(?s)\A *".*" *\z'))
    return F.when(is_quoted, F.replace(inside, F.lit('""'), F.lit('"'))).otherwise(field)


def read_parquet(spark: SparkSession, table: str, path: Path, _: InputSettings) -> DataFrame:
    """A table with the lake's column names; ``raw`` is the record as JSON.

    Raises:
        InputError: a column is missing, or the files are no Parquet.
    """
    lake_names = {"age": "age_group", "zip": "zip3"}
    wanted = {name: lake_names.get(name, name) for name in COLUMNS[table]}
    lines = parquet_lines(path, parquet_records(spark, path), wanted, {"year"})
    # A whole code of the same three digits: the lake keeps no others.
    return lines.withColumn("zip", F.concat("zip", F.lit("00"))) if table == "users" else lines


def is_parquet(path: Path) -> bool:
    """Whether a path is a Parquet file, or a folder that holds some or a Delta table."""
    if path.is_dir():
        return is_delta_table(path) or any(file.suffix == ".parquet" for file in visible_files(path))
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def parquet_records(spark: SparkSession, path: Path) -> DataFrame:
    """All columns of a Parquet file, a folder of some or a Delta table, and ``SOURCE_FILE``.

    Columns that sub-folders are named for are text: ``zip3=012`` is no number.

    Raises:
        InputError: no Parquet lies there, or some of it lies where Spark would pass it over.
    """
    if not is_parquet(path):
        raise InputError(f"{path}: no Parquet there")
    if is_delta_table(path):
        return read_delta(spark, path)
    of_folders = _columns_of_folders(path)
    _check_same_columns(path)
    records = reader(spark).parquet(pattern_of(path))
    if of_folders:
        texts = {name: StructField(name, StringType()) for name in of_folders}
        schema = StructType([texts.get(field.name, field) for field in records.schema.fields])
        records = reader(spark).schema(schema).parquet(pattern_of(path))
    return records.select("*", source_file().alias(SOURCE_FILE))


def _check_same_columns(path: Path) -> None:
    """Refuse files of which some have a column that others lack: Spark takes the columns of one of them.

    Raises:
        InputError: names a file of each kind.
    """
    files = sorted(visible_files(path)) if path.is_dir() else []
    kinds = {frozenset(pq.read_schema(file).names): file for file in reversed(files)}
    if len(kinds) > 1:
        (one, first), (other, second) = sorted(kinds.items(), key=lambda kind: str(kind[1]))[:2]
        odd = ", ".join(sorted(one ^ other))
        raise InputError(
            f"{path}: {first.name} and {second.name} have different columns ({odd}): give all files the same"
        )


def _columns_of_folders(path: Path) -> list[str]:
    """The columns that sub-folders are named for, as ``run_date=2000-12-31``; none where there are no such.

    Raises:
        InputError: files lie at more than one depth, or in sub-folders with other names.
    """
    files = sorted(file.relative_to(path) for file in visible_files(path)) if path.is_dir() else []
    by_depth = {len(file.parts): str(file) for file in reversed(files)}
    if len(by_depth) > 1:
        some = " and ".join(name for _, name in sorted(by_depth.items()))
        raise InputError(
            f"{path}: files lie at different depths ({some}), and some would be missed: leave one"
        )
    names = {tuple(folder.partition("=")[:2] for folder in file.parts[:-1]) for file in files}
    if len(names) > 1 or any(sign != "=" for parts in names for _, sign in parts):
        raise InputError(
            f"{path}: its sub-folders (that of {files[0]}) are not all named column=value for the same"
            " columns: put the files into one folder"
        )
    return [unquote(name) for parts in names for name, _ in parts]


def parquet_lines(path: Path, records: DataFrame, wanted: Mapping[str, str], optional: set[str]) -> DataFrame:
    """One row per record: ``raw`` as JSON, ``source_file``, ``complete`` and the wanted columns as text.

    ``wanted`` gives the file's name of each column; an optional one may be missing and is null then.

    Raises:
        InputError: a column is missing.
    """
    found = [name for name in records.columns if name != SOURCE_FILE]
    missing = [column for name, column in wanted.items() if column not in found and name not in optional]
    if missing:
        raise InputError(f"{path}: missing column(s) {', '.join(missing)}; found {', '.join(found)}")
    types = dict(records.dtypes)
    texts = [
        (_as_text(F.col(column), types[column]) if column in types else F.lit(None).cast("string")).alias(
            name
        )
        for name, column in wanted.items()
    ]
    raw = F.to_json(F.struct(*found)).alias("raw")
    return records.select(raw, F.col(SOURCE_FILE).alias("source_file"), F.lit(True).alias("complete"), *texts)


def _as_text(column: Column, data_type: str) -> Column:
    if data_type in ("timestamp", "timestamp_ntz"):
        return F.unix_seconds(column.cast("timestamp")).cast("string")
    if data_type.startswith("array"):
        return F.array_join(column.cast("array<string>"), "|")
    return present(column.cast("string"))


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
    ),
}
