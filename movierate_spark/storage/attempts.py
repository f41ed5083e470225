"""Attempts: files that Spark writes into a new folder inside a table, not visible before the commit."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import pyarrow.parquet as pq
from deltalake.transaction import AddAction
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from movierate_spark.errors import MovierateError
from movierate_spark.storage.files import (
    check_commits,
    files_below,
    missing_folders,
    remove_if_empty,
    remove_tree,
)
from movierate_spark.storage.locations import FileEntry, Location, uri_of
from movierate_spark.storage.tables import RUN_DATE, log_entries

COMMITTED_BY_TASKS = {"mapreduce.fileoutputcommitter.algorithm.version": "2"}
"""Tasks put their files into the attempt's folder themselves, which saves a rename of each by the driver.

The folder is not visible before the commit, and a task that is repeated gives its files the same names.
"""
ATTEMPT = "attempt"
"""The key of an attempt's folder in the commit's entry in the log."""


@dataclass(frozen=True)
class Attempt:
    """Files and rows that were written for a table, and are not visible yet."""

    table: Location
    schema: StructType
    folder: Location
    run_date: date | None
    files: tuple[AddAction, ...]
    rows: int


@contextmanager
def attempt_to_write(
    frame: DataFrame, table: Location, schema: StructType, *, run_date: date | None = None
) -> Iterator[Attempt]:
    """Write ``frame`` beside the table's files. If the block fails, the new files are removed.

    Folders that were created for them are removed too, if they are empty. The files are kept if they have
    been published, or if the log can't be read. With ``run_date``, the rows are that partition's: ``frame``
    must have only this run date, as the column is not stored in the files.

    Raises:
        MovierateError: the driver does not see the files as they were written.
        InputError: two runs could both publish on this storage.
    """
    parent = table / f"{RUN_DATE}={run_date.isoformat()}" if run_date else table
    folder = parent / uuid.uuid4().hex
    check_commits(table)
    new_folders = missing_folders(parent)
    try:
        yield _written(frame, table, schema, folder, run_date)
    except BaseException:
        if not _may_be_published(table, folder.name):
            remove_tree(folder)
            remove_if_empty(new_folders)
        raise


def _may_be_published(table: Location, attempt: str) -> bool:
    """Whether the attempt became a version of the table, or the log can't be read at the moment."""
    try:
        return version_of(table, attempt) is not None
    except OSError:
        return True


def version_of(table: Location, attempt: str, *, after: int = -1) -> int | None:
    """The version that an attempt became, if it is later than ``after``; else None."""
    for entry in reversed(log_entries(table)):
        if int(entry.stem) <= after:
            break
        text = entry.read_text(encoding="utf-8")
        if attempt in text and any(_attempt_of(line) == attempt for line in text.splitlines()):
            return int(entry.stem)
    return None


def _attempt_of(line: str) -> object:
    return json.loads(line).get("commitInfo", {}).get(ATTEMPT)


def _written(
    frame: DataFrame, table: Location, schema: StructType, folder: Location, run_date: date | None
) -> Attempt:
    stored = [field for field in schema.fields if not (run_date and field.name == RUN_DATE)]
    columns = [F.col(field.name).cast(field.dataType).alias(field.name) for field in stored]
    # Few large files, whatever the number of tasks, as the files are not compacted later.
    written = Observation()
    balanced = frame.select(*columns).hint("rebalance")
    counted = balanced.observe(written, F.count(F.lit(1)).alias("rows"))
    counted.write.options(**COMMITTED_BY_TASKS).parquet(uri_of(folder))
    values: dict[str, str | None] = {RUN_DATE: run_date.isoformat()} if run_date else {}
    actions, rows = [], 0
    names = [field.name for field in stored]
    below = "/".join([*(f"{name}={value}" for name, value in values.items()), folder.name])
    for entry in data_files(folder):
        file = folder / entry.name
        with file.open("rb") as content:
            footer = pq.read_metadata(content)
        if footer.schema.to_arrow_schema().names != names:
            raise MovierateError(f"{file}: written with columns other than {', '.join(names)}")
        if footer.num_rows:
            actions.append(_add_action(f"{below}/{entry.name}", entry.size, values, footer.num_rows))
            rows += footer.num_rows
    if rows != written.get["rows"]:
        raise MovierateError(
            f"{folder}: {written.get['rows']} rows were written, and {rows} lie there: do the driver and the"
            " executors see the same file system?"
        )
    return Attempt(table, schema, folder, run_date, tuple(actions), rows)


def data_files(folder: Location) -> list[FileEntry]:
    """The Parquet files that Spark wrote into a folder, sorted."""
    return [entry for entry in files_below(folder) if re.fullmatch(r"[^/]+\.parquet", entry.name)]


def _add_action(path: str, size: int, values: dict[str, str | None], rows: int) -> AddAction:
    return AddAction(
        path=path,
        size=size,
        partition_values=values,
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": rows}),
    )


def check_files(attempt: Attempt) -> None:
    """Refuse an attempt whose files are missing, as Delta would add files that do not exist.

    Raises:
        MovierateError: a file is missing, or has another size than it was written with.
    """
    sizes = {entry.name: entry.size for entry in data_files(attempt.folder)}
    for file in attempt.files:
        path = attempt.table / file.path
        if sizes.get(path.name) != file.size:
            raise MovierateError(
                f"{path}: gone or changed since this run wrote it, so nothing was published: has somebody"
                " cleared the table's folder, or vacuumed even recent files? Run it again"
            )
