"""Delta tables as Spark reads them without a jar: the log says which Parquet files belong to them."""

from __future__ import annotations

import re
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql.types import StructType

from movierate_spark.errors import InputError

LOG = "_delta_log"
RUN_DATE = "run_date"


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


def is_delta_table(path: Path) -> bool:
    """Whether a Delta table lies at ``path``: a log without an entry is of a commit that never came.

    Raises:
        OSError: its log can't be listed for now.
    """
    return bool(log_entries(path))


def current_files(path: Path, *, version: int | None = None) -> list[str]:
    """The data files of a table, at its newest version or the one given."""
    return DeltaTable(str(path), version=version).file_uris()


def read_table(
    spark: SparkSession, path: Path, schema: StructType, *, version: int | None = None
) -> DataFrame:
    """The table at ``path`` with exactly ``schema``; an empty frame where it has no files.

    Raises:
        InputError: there is no table, or not at that version.
    """
    if not is_delta_table(path):
        raise InputError(f"{path}: no table lies there")
    try:
        files = current_files(path, version=version)
    except Exception as error:  # deltalake raises its own and the operating system's
        raise InputError(f"{path}: version {version} can't be opened ({type(error).__name__})") from error
    if not files:
        return spark.createDataFrame([], schema)
    of_table = reader(spark).schema(schema).option("basePath", str(path))
    return of_table.parquet(*files).select(schema.names)
