"""Delta tables as Spark reads them without a jar: the log says which Parquet files belong to them."""

from __future__ import annotations

import atexit
import hashlib
import json
import re
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from movierate_spark.errors import InputError
from movierate_spark.spark_internals import in_uris
from movierate_spark.storage.digests import digest_of

LOG = "_delta_log"
RUN_DATE = "run_date"
SOURCE_FILE = "_source_file"
DATA_FILE = "_data_file"
KNOWN = "_is_known"
DELETION_VECTORS = "deletionVectors"
COLUMN_MAPPING = "columnMapping"
HARMLESS = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}
"""Reader features that change nothing in what the data files say, or that ``deltalake`` sees to."""


def reader(spark: SparkSession) -> DataFrameReader:
    """A reader that fails on a damaged or missing file, whatever the cluster's settings are."""
    checked = {"ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
    return spark.read.options(**checked, **{"parquet.page.verify-checksum.enabled": "true"})


def log_entries(path: Path) -> list[Path]:
    """The entries of a table's log, oldest first; none where there is no log.

    Raises:
        OSError: the log can't be listed for now.
    """
    try:
        names = [entry.name for entry in (path / LOG).iterdir()]  # a glob is silent where it can't list
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path / LOG / name for name in sorted(names) if re.fullmatch(r"\d{20}\.json", name)]


def pattern_of(path: Path | str) -> str:
    """A path as Spark's readers take it, which is a pattern: what would mean something there is escaped."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", str(path))


def delta_location(path: Path) -> str:
    """Where ``deltalake`` finds the table at ``path``: there, or in a folder of links to what lies there.

    It takes a path for a URI: a bracket in it ends Python with a panic, and ``%41`` becomes ``A``.
    """
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


@cache
def _folder_of_links() -> Path:
    """A folder of this process, whose name is plain as long as ``TMPDIR`` is."""
    folder = tempfile.mkdtemp(prefix="movierate-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def is_delta_table(path: Path) -> bool:
    """Whether a Delta table lies at ``path``: a log without an entry is of a commit that never came.

    Raises:
        OSError: its log can't be listed for now.
    """
    return bool(log_entries(path))


def identity_of(path: Path) -> str:
    """What tells an input from another: a Delta table's id, version and last commit, else its files' digest.

    A deletion takes files out of a Delta table's log and leaves them where they lie. A copy that was put back
    and then went another way has the id and the version, and another last commit.
    """
    if not is_delta_table(path):
        return digest_of(path)
    table = _opened(path)
    return f"{table.metadata().id}@{table.version()}@{digest_of(log_entries(path)[-1])}"


def current_files(path: Path, *, version: int | None = None) -> list[str]:
    """The data files of a table, at its newest version or the one given.

    Raises:
        InputError: the table has a feature that its data files do not show.
    """
    return [
        str(file)
        for file in _files(path, _supported(path, DeltaTable(delta_location(path), version=version)))
    ]


def read_table(
    spark: SparkSession, path: Path, schema: StructType, *, version: int | None = None
) -> DataFrame:
    """The table at ``path`` with exactly ``schema``; an empty frame where it has no files.

    Raises:
        InputError: there is no table, or not at that version, or one with a feature that is not read here.
    """
    files = [pattern_of(file) for file in _files(path, _opened(path, version=version))]
    if not files:
        return spark.createDataFrame([], schema)
    of_table = reader(spark).schema(schema).option("basePath", str(path))
    return of_table.parquet(*files).select(schema.names)


def read_delta(spark: SparkSession, path: Path) -> DataFrame:
    """All of a Delta table that somebody else has written, with ``SOURCE_FILE``, the name of a row's file.

    Values of partition columns stand in the log only: the folders' names are nobody's promise.

    Raises:
        InputError: there is no table, or one with a feature that is not read here.
    """
    table = _opened(path)
    schema = StructType.fromJson(json.loads(table.schema().to_json()))
    parted_by = table.metadata().partition_columns
    files = _files(path, table)
    if not files:
        return spark.createDataFrame([], StructType([*schema.fields, StructField(SOURCE_FILE, StringType())]))
    stored = StructType([field for field in schema.fields if field.name not in parted_by])
    rows = reader(spark).schema(stored).parquet(*map(pattern_of, files))
    rows = rows.select("*", source_file().alias(SOURCE_FILE), _path_of_file().alias(DATA_FILE))
    if parted_by:
        rows = _with_partition_values(rows, table, files)
    return rows.select(*schema.names, SOURCE_FILE)


def _with_partition_values(rows: DataFrame, table: DeltaTable, files: list[Path]) -> DataFrame:
    """The rows with the columns that the table is partitioned by: one join, whatever their number."""
    spark, names = rows.sparkSession, table.metadata().partition_columns
    values = {name: _actions(table)[f"partition.{name}"] for name in names}
    is_known = pa.array([True] * len(files))
    by_file = spark.createDataFrame(pa.table({DATA_FILE: in_uris(spark, files), KNOWN: is_known, **values}))
    joined = rows.join(F.broadcast(by_file), DATA_FILE, "left")
    # A null would be taken for the partition of null.
    unknown = F.raise_error(F.lit("a data file that its table's log does not name"))
    return joined.withColumns({name: F.when(F.col(KNOWN), F.col(name)).otherwise(unknown) for name in names})


def _path_of_file() -> Column:
    """The path of a row's file without its file system, as Hadoop writes it in a URI."""
    return F.regexp_replace("_metadata.file_path", "^[^/]+:(//[^/]*)?", "")


def source_file() -> Column:
    """The name of the file that a row was read from; Spark has it percent-encoded, but for a plus."""
    return F.url_decode(F.replace(F.col("_metadata.file_name"), F.lit("+"), F.lit("%2B")))


def _opened(path: Path, *, version: int | None = None) -> DeltaTable:
    if not is_delta_table(path):
        raise InputError(f"{path}: no table lies there")
    try:
        table = DeltaTable(delta_location(path), version=version)
    except Exception as error:  # deltalake raises its own and the operating system's
        what = "it" if version is None else f"version {version}"
        raise InputError(f"{path}: {what} can't be opened ({type(error).__name__})") from error
    return _supported(path, table)


def _supported(path: Path, table: DeltaTable) -> DeltaTable:
    """The table, unless its data files alone do not say what it holds.

    Raises:
        InputError: names the features.
    """
    features = set(table.protocol().reader_features or ())
    unread = features - HARMLESS - {COLUMN_MAPPING, DELETION_VECTORS}
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        unread.add(COLUMN_MAPPING)
    # Tables keep the feature when their last deletion vector is gone.
    if DELETION_VECTORS in features and any(batch.num_rows for batch in table.deletion_vectors()):
        unread.add(DELETION_VECTORS)
    if not unread:
        return table
    advice = "export it to plain Parquet"
    if unread == {DELETION_VECTORS}:
        advice = f"rewrite its files without them (REORG TABLE ... APPLY (PURGE)), or {advice}"
    raise InputError(f"{path}: a Delta table with {', '.join(sorted(unread))} is not read here: {advice}")


def _actions(table: DeltaTable) -> Any:
    """A row for each data file: its path, and a column for each that the table is partitioned by."""
    return pa.table(table.get_add_actions(flatten=True))


def _files(path: Path, table: DeltaTable) -> list[Path]:
    """The table's data files; the log has their names percent-encoded, and relative to the table."""
    return [path.absolute() / unquote(name) for name in _actions(table)["path"].to_pylist()]
