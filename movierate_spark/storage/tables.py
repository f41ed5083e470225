"""Reading Delta tables with Spark but without a jar: ``deltalake`` lists the Parquet files to read."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from movierate_spark.columns import quoted
from movierate_spark.errors import InputError
from movierate_spark.spark_internals import in_uris
from movierate_spark.storage.digests import digest_of
from movierate_spark.storage.locations import Location, uri_of
from movierate_spark.storage.locations.delta import LOG, delta_location, delta_options

RUN_DATE = "run_date"
SOURCE_FILE = "_source_file"
DATA_FILE = "_data_file"
KNOWN = "_is_known"
DELETION_VECTORS = "deletionVectors"
COLUMN_MAPPING = "columnMapping"
HARMLESS = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}
"""Reader features that do not change the content of data files, or that ``deltalake`` handles."""


def reader(spark: SparkSession) -> DataFrameReader:
    """A reader that fails on damaged or missing files, whatever the cluster's settings are."""
    checked = {"ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
    return spark.read.options(**checked, **{"parquet.page.verify-checksum.enabled": "true"})


def log_entries(path: Location) -> list[Location]:
    """The entries of a table's log, oldest first; empty if there is no log.

    Raises:
        OSError: the log can't be listed at the moment.
    """
    try:
        names = [entry.name for entry in (path / LOG).iterdir()]  # glob would ignore errors
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path / LOG / name for name in sorted(names) if re.fullmatch(r"\d{20}\.json", name)]


def pattern_of(path: Location) -> str:
    """A location for Spark's readers, which take glob patterns: special characters are escaped."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", uri_of(path))


def delta_table(path: Location, *, version: int | None = None) -> DeltaTable:
    """The table for ``deltalake``, at its newest version or at ``version``."""
    return DeltaTable(delta_location(path), version=version, storage_options=delta_options(path))


def is_delta_table(path: Location) -> bool:
    """Whether there is a Delta table at ``path``. A log without entries is not one: its first commit failed.

    Raises:
        OSError: its log can't be listed at the moment.
    """
    return bool(log_entries(path))


def identity_of(path: Location) -> str:
    """What identifies an input: a Delta table's id, version and last commit, or else a digest of its files.

    For a Delta table, a digest of the files would miss deletions, which only change its log. Id and version
    are not enough: a restored copy that was changed differently has the same ones, but another last commit.
    """
    if not is_delta_table(path):
        return digest_of(path)
    table = _opened(path)
    return f"{table.metadata().id}@{table.version()}@{digest_of(log_entries(path)[-1])}"


def current_files(path: Location, *, version: int | None = None) -> set[str]:
    """The paths, below the table, of its data files at its newest version or at ``version``.

    Raises:
        InputError: the table has a feature that is not supported.
    """
    return set(_names(_supported(path, delta_table(path, version=version))))


def read_table(
    spark: SparkSession, path: Location, schema: StructType, *, version: int | None = None
) -> DataFrame:
    """The table at ``path`` with exactly the columns of ``schema``; an empty frame if it has no files.

    Raises:
        InputError: there is no such table or version, or the table has a feature that is not supported.
    """
    files = [pattern_of(file) for file in _files(path, _opened(path, version=version))]
    if not files:
        return spark.createDataFrame([], schema)
    of_table = reader(spark).schema(schema).option("basePath", uri_of(path))
    return of_table.parquet(*files).select(schema.names)


def read_files(
    spark: SparkSession,
    path: Location,
    schema: StructType,
    names: Collection[str],
    *,
    file_column: str | None = None,
) -> DataFrame:
    """The rows of some files of the table at ``path``, by their paths below it.

    With ``file_column``, this column has the name of each row's file.
    """
    added = [] if file_column is None else [file_column]
    if not names:
        return spark.createDataFrame([], StructType([*schema.fields, *(_text(name) for name in added)]))
    files = [pattern_of(path / name) for name in sorted(names)]
    rows = reader(spark).schema(schema).parquet(*files)
    return rows.select(*schema.names, *(source_file().alias(name) for name in added))


def _text(name: str) -> StructField:
    return StructField(name, StringType())


def read_delta(spark: SparkSession, path: Location) -> DataFrame:
    """All columns of a delivered Delta table, and ``SOURCE_FILE``, the name of each row's file.

    The values of partition columns are taken from the log, as names of folders may differ from them.

    Raises:
        InputError: there is no table, or it has a feature that is not supported.
    """
    table = _opened(path)
    schema = StructType.fromJson(json.loads(table.schema().to_json()))
    partition_columns = table.metadata().partition_columns
    files = _files(path, table)
    if not files:
        return spark.createDataFrame([], StructType([*schema.fields, StructField(SOURCE_FILE, StringType())]))
    stored = StructType([field for field in schema.fields if field.name not in partition_columns])
    rows = reader(spark).schema(stored).parquet(*map(pattern_of, files))
    rows = rows.select("*", source_file().alias(SOURCE_FILE), _path_of_file().alias(DATA_FILE))
    if partition_columns:
        rows = _with_partition_values(rows, table, files)
    return rows.select(*map(quoted, schema.names), SOURCE_FILE)


def _with_partition_values(rows: DataFrame, table: DeltaTable, files: list[Location]) -> DataFrame:
    """Add the partition columns, by one join on the rows' file."""
    spark, names = rows.sparkSession, table.metadata().partition_columns
    values = {name: _actions(table)[f"partition.{name}"] for name in names}
    is_known = pa.array([True] * len(files))
    by_file = spark.createDataFrame(
        pa.table({DATA_FILE: in_uris(spark, map(uri_of, files)), KNOWN: is_known, **values})
    )
    joined = rows.join(F.broadcast(by_file), DATA_FILE, "left")
    # Without this check, a file without an entry would look like the partition of null.
    unknown = F.raise_error(F.lit("a data file that its table's log does not name"))
    return joined.withColumns(
        {name: F.when(F.col(KNOWN), F.col(quoted(name))).otherwise(unknown) for name in names}
    )


def _path_of_file() -> Column:
    """The path of a row's file as in Hadoop's URIs, without scheme and host."""
    return F.regexp_replace("_metadata.file_path", "^[^/]+:(//[^/]*)?", "")


def source_file() -> Column:
    """The name of a row's file. Spark gives it percent-encoded, except for plus signs."""
    return F.url_decode(F.replace(F.col("_metadata.file_name"), F.lit("+"), F.lit("%2B")))


def _opened(path: Location, *, version: int | None = None) -> DeltaTable:
    if not is_delta_table(path):
        raise InputError(f"{path}: there is no table")
    try:
        table = delta_table(path, version=version)
    except Exception as error:  # deltalake raises its own and the operating system's
        what = "it" if version is None else f"version {version}"
        raise InputError(f"{path}: {what} can't be opened ({type(error).__name__})") from error
    return _supported(path, table)


def _supported(path: Location, table: DeltaTable) -> DeltaTable:
    """The table, if its data files alone give its content.

    Raises:
        InputError: it has other features; the message lists them.
    """
    features = set(table.protocol().reader_features or ())
    unread = features - HARMLESS - {COLUMN_MAPPING, DELETION_VECTORS}
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        unread.add(COLUMN_MAPPING)
    # A table keeps the feature after its last deletion vector is removed.
    if DELETION_VECTORS in features and any(batch.num_rows for batch in table.deletion_vectors()):
        unread.add(DELETION_VECTORS)
    if not unread:
        return table
    advice = "export it to plain Parquet"
    if unread == {DELETION_VECTORS}:
        advice = f"rewrite its files without them (REORG TABLE ... APPLY (PURGE)), or {advice}"
    raise InputError(f"{path}: a Delta table with {', '.join(sorted(unread))} is not supported: {advice}")


def _actions(table: DeltaTable) -> Any:
    """A row per data file: its path and its values of the partition columns."""
    return pa.table(table.get_add_actions(flatten=True))


def _files(path: Location, table: DeltaTable) -> list[Location]:
    """The table's data files."""
    return [path / name for name in _names(table)]


def _names(table: DeltaTable) -> list[str]:
    """The paths of the table's data files, below the table; the log has them percent-encoded."""
    return [unquote(name) for name in _actions(table)["path"].to_pylist()]
