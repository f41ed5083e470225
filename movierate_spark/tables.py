"""Delta tables that Spark writes and reads without a jar: files first, then one atomic commit.

Spark writes Parquet files into a fresh attempt folder inside the table; nobody sees them until
one commit adds them to the table's log and takes the replaced files out.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from movierate_spark.errors import InputError, MovierateError

RUN_DATE = "run_date"


@dataclass(frozen=True)
class Attempt:
    """Files written for a table and not yet visible."""

    table: Path
    schema: StructType
    folder: Path
    run_date: date | None
    files: tuple[AddAction, ...]
    rows: int


def is_delta_table(path: Path) -> bool:
    """Whether a Delta table lies at ``path``."""
    return (path / "_delta_log").is_dir()


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
    reader = spark.read.schema(schema).option("basePath", str(path))
    return reader.parquet(*files).select(schema.names)


@contextmanager
def attempt_to_write(
    frame: DataFrame, table: Path, schema: StructType, *, run_date: date | None = None
) -> Iterator[Attempt]:
    """Write ``frame`` beside the table's files; they are removed again unless the block ends well.

    A table that did not exist before is removed whole. With ``run_date`` the rows belong to that
    partition, whose column the frame carries.
    """
    is_new = not is_delta_table(table)
    parent = table / f"{RUN_DATE}={run_date.isoformat()}" if run_date else table
    folder = parent / uuid.uuid4().hex
    try:
        yield _written(frame, table, schema, folder, run_date)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new:
            shutil.rmtree(table, ignore_errors=True)
        raise


def _written(
    frame: DataFrame, table: Path, schema: StructType, folder: Path, run_date: date | None
) -> Attempt:
    stored = [field for field in schema.fields if not (run_date and field.name == RUN_DATE)]
    columns = [F.col(field.name).cast(field.dataType).alias(field.name) for field in stored]
    frame.select(*columns).write.parquet(str(folder))
    values: dict[str, str | None] = {RUN_DATE: run_date.isoformat()} if run_date else {}
    actions, rows = [], 0
    for path in sorted(folder.glob("*.parquet")):
        footer = pq.read_metadata(path)
        names = [field.name for field in stored]
        if footer.schema.to_arrow_schema().names != names:
            raise MovierateError(f"{path}: written with columns other than {', '.join(names)}")
        if footer.num_rows:
            actions.append(_add_action(path, table, values, footer.num_rows))
            rows += footer.num_rows
    return Attempt(table, schema, folder, run_date, tuple(actions), rows)


def _add_action(path: Path, table: Path, values: dict[str, str | None], rows: int) -> AddAction:
    return AddAction(
        path=path.relative_to(table).as_posix(),
        size=path.stat().st_size,
        partition_values=values,
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": rows}),
    )


def commit(attempt: Attempt) -> int:
    """Make an attempt the table's content (or that of its run date), and return the new version."""
    schema = Schema.from_json(attempt.schema.json())
    partition_by = [RUN_DATE] if attempt.run_date else None
    if not is_delta_table(attempt.table):
        create_table_with_add_actions(
            str(attempt.table), schema, list(attempt.files), mode="error", partition_by=partition_by
        )
    else:
        replaced = [(RUN_DATE, "=", attempt.run_date.isoformat())] if attempt.run_date else None
        DeltaTable(str(attempt.table)).create_write_transaction(
            list(attempt.files), "overwrite", schema, partition_by=partition_by, partition_filters=replaced
        )
    return DeltaTable(str(attempt.table)).version()


def replace_json(path: Path, document: object) -> None:
    """Write a JSON file so that a reader sees the old or the new one, never a part."""
    replace_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) so that a reader sees the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
