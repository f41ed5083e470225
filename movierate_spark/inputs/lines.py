"""A delivered file to a frame of its lines as text: nothing is judged or lost here.

Every reader of a format returns one row per line (per record of a Parquet file), CSV headers aside, with
``raw`` (the line as text), ``source_file`` (its name), ``complete`` (the number of fields is right)
and the table's :data:`COLUMNS` as strings, codes by their names; null where a line is too short or a code
is unknown.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import decoded
from movierate_spark.errors import InputError
from movierate_spark.storage.tables import pattern_of, reader, source_file

COLUMNS = {
    "ratings": ("user_id", "movie_id", "rating", "rated_at"),
    "users": ("user_id", "gender", "age", "occupation", "zip"),
    "movies": ("movie_id", "title", "genres", "year"),
}
TABLES = tuple(COLUMNS)
CHUNK = 1 << 20
DAMAGED = r"Unexpected end of input stream|IOException: (.*gzip|invalid |incorrect )"
"""How Hadoop names what is wrong with a gzip file."""


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


def with_columns(
    lines: DataFrame, names: Iterable[str], columns: Mapping[str, Column], *, complete: Column
) -> DataFrame:
    """``raw``, ``source_file``, ``complete`` and the names' columns as text; null where a name has none."""
    texts = [columns.get(name, F.lit(None)).cast("string").alias(name) for name in names]
    return lines.select("raw", "source_file", complete.alias("complete"), *texts)


def by_position(lines: DataFrame, table: str, fields: Column, names: tuple[str, ...]) -> DataFrame:
    """A table whose ``fields`` (an array, made of ``raw``) have these names, in this order."""
    split = lines.withColumn("fields", fields)
    columns = {name: F.get("fields", F.lit(i)) for i, name in enumerate(names)}
    return with_columns(split, COLUMNS[table], columns, complete=F.size("fields") == len(names))
