"""Records of Parquet files and Delta tables as text, in the same form as lines of text files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from movierate_spark.columns import present, quoted
from movierate_spark.config import InputSettings
from movierate_spark.errors import InputError
from movierate_spark.inputs.lines import COLUMNS
from movierate_spark.storage.digests import visible_files
from movierate_spark.storage.files import file_entry
from movierate_spark.storage.locations import Location
from movierate_spark.storage.tables import (
    SOURCE_FILE,
    is_delta_table,
    pattern_of,
    read_delta,
    reader,
    source_file,
)


def read_parquet(spark: SparkSession, table: str, path: Location, _: InputSettings) -> DataFrame:
    """A table in the parquet format, which has the lake's column names; ``raw`` is the record as JSON.

    Raises:
        InputError: a column is missing, or the records can't be read: see :func:`parquet_records`.
    """
    lake_names = {"age": "age_group", "zip": "zip3"}
    columns = {name: lake_names.get(name, name) for name in COLUMNS[table]}
    lines = parquet_lines(path, parquet_records(spark, path), columns, {"year"})
    # Cleaning takes five digits and keeps three.
    return lines.withColumn("zip", F.concat("zip", F.lit("00"))) if table == "users" else lines


def is_parquet(path: Location) -> bool:
    """Whether a path is a Parquet file, a folder with Parquet files, or a Delta table."""
    if file_entry(path) is None:
        return is_delta_table(path) or any(name.endswith(".parquet") for name in visible_files(path))
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def parquet_records(spark: SparkSession, path: Location) -> DataFrame:
    """All columns of a Parquet file, a folder of Parquet files or a Delta table, and ``SOURCE_FILE``.

    Columns that are given by the names of sub-folders are text, as ``zip3=012`` is not a number.

    Raises:
        InputError: there is no Parquet, Spark would ignore some of the files or columns, or the Delta table
            has a feature that is not supported.
    """
    if not is_parquet(path):
        raise InputError(f"{path}: no Parquet there")
    if is_delta_table(path):
        return read_delta(spark, path)
    folder_columns = _columns_of_folders(path)
    _check_same_columns(path)
    records = reader(spark).parquet(pattern_of(path))
    if folder_columns:
        texts = {name: StructField(name, StringType()) for name in folder_columns}
        schema = StructType([texts.get(field.name, field) for field in records.schema.fields])
        records = reader(spark).schema(schema).parquet(pattern_of(path))
    return records.select("*", source_file().alias(SOURCE_FILE))


def _check_same_columns(path: Location) -> None:
    """Refuse Parquet files with different columns, as Spark takes the columns from only one of them.

    Raises:
        InputError: the columns differ; the message names two such files.
    """
    files = [PurePosixPath(name) for name in visible_files(path)] if path.is_dir() else []
    kinds = {_columns_in(path / file): file for file in reversed(files)}
    if len(kinds) > 1:
        (one, first), (other, second) = sorted(kinds.items(), key=lambda kind: str(kind[1]))[:2]
        odd = ", ".join(sorted(one ^ other))
        raise InputError(
            f"{path}: {first.name} and {second.name} have different columns ({odd}): give all files the same"
        )


def _columns_in(file: Location) -> frozenset[str]:
    with file.open("rb") as content:
        return frozenset(pq.read_schema(content).names)


def _columns_of_folders(path: Location) -> list[str]:
    """The columns in the names of sub-folders such as ``run_date=2000-12-31``; empty without sub-folders.

    Raises:
        InputError: files are at different depths, or the sub-folders are not all named for the same columns.
    """
    files = [PurePosixPath(name) for name in visible_files(path)] if path.is_dir() else []
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


def parquet_lines(
    path: Location, records: DataFrame, names: Mapping[str, str], optional: set[str]
) -> DataFrame:
    """One row per record: ``raw`` as JSON, ``source_file``, ``complete``, and the keys of ``names`` as text.

    ``names`` maps columns to their names in the file. Times become epoch seconds, arrays are joined by
    ``|``. An ``optional`` column that is missing is null.

    Raises:
        InputError: a column that is not optional is missing.
    """
    columns = [name for name in records.columns if name != SOURCE_FILE]
    missing = [column for name, column in names.items() if column not in columns and name not in optional]
    if missing:
        raise InputError(f"{path}: missing column(s) {', '.join(missing)}; found {', '.join(columns)}")
    types = dict(records.dtypes)
    texts = [
        (
            _as_text(F.col(quoted(column)), types[column]) if column in types else F.lit(None).cast("string")
        ).alias(name)
        for name, column in names.items()
    ]
    raw = F.to_json(F.struct(*map(quoted, columns))).alias("raw")
    return records.select(raw, F.col(SOURCE_FILE).alias("source_file"), F.lit(True).alias("complete"), *texts)


def _as_text(column: Column, data_type: str) -> Column:
    if data_type in ("timestamp", "timestamp_ntz"):
        return F.unix_seconds(column.cast("timestamp")).cast("string")
    if data_type.startswith("array"):
        return F.array_join(column.cast("array<string>"), "|")
    return present(column.cast("string"))
