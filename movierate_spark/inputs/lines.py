"""The lines of delivered files as text. Lines are neither checked nor dropped here.

The readers of all formats return one row per line (Parquet: per record), without CSV headers. The columns are
``raw`` (the line as text), ``source_file`` (the file's name), ``complete`` (whether the number of fields is
right) and the table's :data:`COLUMNS` as strings. Codes are replaced by their names. A value is null if the
line is too short or the code is unknown.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import decoded
from movierate_spark.errors import InputError
from movierate_spark.storage.files import open_text
from movierate_spark.storage.locations import Location
from movierate_spark.storage.tables import pattern_of, reader, source_file

COLUMNS = {
    "ratings": ("user_id", "movie_id", "rating", "rated_at"),
    "users": ("user_id", "gender", "age", "occupation", "zip"),
    "movies": ("movie_id", "title", "genres", "year"),
}
TABLES = tuple(COLUMNS)
CHUNK = 1 << 20
HADOOP_GZIP = r"Unexpected end of input stream|IOException: (.*gzip|invalid |incorrect )"
"""Hadoop's error messages for a damaged gzip file."""
DAMAGED_GZIP = "the gzip file is damaged or cut off: deliver it again"
DAMAGED_FILE = "a file is damaged, cut off or can't be read: deliver it again"
ARROW_FOOTER = r"deserialize thrift|Parquet schema"
"""Arrow's error messages for a damaged footer of a Parquet file."""
UNREADABLE = "FAILED_READ_FILE"
"""Spark's condition for any file that it can't read, such as a Parquet file without its footer."""


@contextmanager
def whole(path: Location) -> Iterator[None]:
    """Turn the errors of reading a damaged file of a delivery, raised in the block, into an InputError.

    Damage is noticed only when the block reads as far as the damage, so at the latest at the end of the file.

    Raises:
        InputError: a gzip or Parquet file is cut off or damaged.
    """
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: {DAMAGED_GZIP}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {DAMAGED_FILE}") from error
    except OSError as error:
        if not re.search(ARROW_FOOTER, str(error)):  # such as those of a network
            raise
        raise InputError(f"{path}: {DAMAGED_FILE}") from error
    except (Py4JJavaError, PySparkException) as error:
        if path.suffix == ".gz" and re.search(HADOOP_GZIP, str(error)):
            raise InputError(f"{path}: {DAMAGED_GZIP}") from error
        if path.suffix != ".gz" and UNREADABLE in str(error):
            raise InputError(f"{path}: {DAMAGED_FILE}") from error
        raise


def first_line(path: Location) -> str:
    """The first line of a text file (plain or gzip), as in :func:`read_lines` but without Spark.

    At most a mebibyte is read.

    Raises:
        InputError: the gzip file is damaged in its first line.
    """
    with whole(path), open_text(path) as content:
        line = re.split(rb"[\r\n]", content.readline(CHUNK), maxsplit=1)[0]
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("ISO-8859-1")


def read_lines(spark: SparkSession, path: Location) -> DataFrame:
    """One row per line of a text file (plain or gzip): ``raw``, ``source_file``, ``first``.

    ``first`` is true for the file's first line. Blank lines are kept.
    """
    lines = reader(spark).text(pattern_of(path))
    # Spark numbers the rows of a partition in order, and a file's first split is the first in its partition.
    row_in_partition = F.monotonically_increasing_id().bitwiseAND(F.lit((1 << 33) - 1))
    return lines.select(
        decoded(F.col("value")).alias("raw"),
        source_file().alias("source_file"),
        ((F.col("_metadata.file_block_start") == 0) & (row_in_partition == 0)).alias("first"),
    )


def with_columns(
    lines: DataFrame, names: Iterable[str], columns: Mapping[str, Column], *, complete: Column
) -> DataFrame:
    """``raw``, ``source_file``, ``complete`` and the columns ``names`` as text; null for missing columns."""
    texts = [columns.get(name, F.lit(None)).cast("string").alias(name) for name in names]
    return lines.select("raw", "source_file", complete.alias("complete"), *texts)


def by_position(lines: DataFrame, table: str, fields: Column, names: tuple[str, ...]) -> DataFrame:
    """A table's lines, from ``fields`` (an array column) whose elements are called ``names``."""
    split = lines.withColumn("fields", fields)
    columns = {name: F.get("fields", F.lit(i)) for i, name in enumerate(names)}
    return with_columns(split, COLUMNS[table], columns, complete=F.size("fields") == len(names))
