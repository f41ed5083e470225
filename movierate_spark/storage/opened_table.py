"""A table as it was when a run began, and the check that it has the right schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from urllib.parse import unquote

from deltalake import DeltaTable, Transaction
from pyspark.sql.types import StructType

from movierate_spark.errors import InputError
from movierate_spark.storage.locations import Location
from movierate_spark.storage.tables import RUN_DATE, delta_table, is_delta_table

RENAMED = (("predicted", "predicted_liked"), ("liked", "predicted_liked"))
"""Columns (old name, new name) that had another name in version 0.1."""
MOST_SMALL_FILES = 64
SMALL_FILE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class DataFile:
    """A data file of a table: its path below the table, its size in bytes, and its rows.

    ``rows`` is None if the log does not say.
    """

    name: str
    size: int
    rows: int | None


@dataclass(frozen=True)
class OpenedTable:
    """A table as it was when a run began. A commit to it fails if another run was first.

    ``delta`` is None if there was no table yet.
    """

    path: Location
    delta: DeltaTable | None

    @property
    def version(self) -> int | None:
        """The version when it was opened; None if there was no table."""
        return None if self.delta is None else self.delta.version()

    def transaction(self, name: str) -> int | None:
        """The number of the last transaction with this name; None if there was none."""
        return None if self.delta is None else self.delta.transaction_version(name)

    def rows(self, run_date: date | None = None) -> int | None:
        """The number of rows in a run date's partition (without ``run_date``: in a table without run dates).

        None if it is not known: there is no table, a file is missing or has no number of rows in the log, or
        rows may be deleted without a new file (deletion vectors).
        """
        if self.delta is None or "deletionVectors" in (self.delta.protocol().reader_features or ()):
            return None
        rows = 0
        for file in self.files.get(run_date, ()):
            if file.rows is None or not (self.path / file.name).is_file():
                return None
            rows += file.rows
        return rows

    @cached_property
    def files(self) -> Mapping[date | None, list[DataFile]]:
        """The data files by run date. Read only once, as a backfill needs many dates."""
        files: dict[date | None, list[DataFile]] = {}
        actions = self.delta.get_add_actions(flatten=True) if self.delta else None
        if actions is None or not actions.num_rows:
            return files
        columns = {name: actions.column(name).to_pylist() for name in actions.schema.names}
        nulls = [None] * actions.num_rows
        dates, counts = (columns.get(name, nulls) for name in (f"partition.{RUN_DATE}", "num_records"))
        for run_date, path, size, count in zip(
            dates, columns["path"], columns["size_bytes"], counts, strict=True
        ):
            files.setdefault(run_date, []).append(DataFile(unquote(path), size, count))
        return files

    def small_files(self) -> frozenset[str]:
        """The data files that the next delivery should be written together with, as there are too many."""
        every = (file for files in self.files.values() for file in files)
        small = frozenset(file.name for file in every if file.size < SMALL_FILE_BYTES)
        return small if len(small) > MOST_SMALL_FILES else frozenset()

    def state(self, transaction: Transaction, run_date: date | None) -> object:
        """What a commit of this transaction or run date would replace: a later commit changes it."""
        if self.delta is None:
            return None, frozenset()
        partition = [(RUN_DATE, "=", run_date.isoformat())] if run_date else None
        files = frozenset(self.delta.file_uris(file_pruning_predicate=partition))
        return self.delta.transaction_version(transaction.app_id), files


def open_table(path: Location) -> OpenedTable:
    """The table at ``path`` as it is now; there may be none."""
    return OpenedTable(path, delta_table(path) if is_delta_table(path) else None)


def check_purpose(table: OpenedTable, schema: StructType, *, argument: str | None = None) -> None:
    """Refuse a table with another schema or other partitions than the run date, if ``schema`` has one.

    Raises:
        InputError: its columns, their types or its partition columns differ.
    """
    if table.delta is None:
        return
    actual = StructType.fromJson(json.loads(table.delta.schema().to_json()))
    partitioned_by = table.delta.metadata().partition_columns
    expected = [RUN_DATE] if RUN_DATE in schema.names else []
    if partitioned_by == expected and _columns(actual) == _columns(schema):
        return
    for old, new in RENAMED:
        renamed = {(new if name == old else name, kind) for name, kind in _columns(actual)}
        if old in actual.names and renamed == _columns(schema):
            raise InputError(
                f"{table.path}: a table of version 0.1, in which {new} is called {old}: name a new folder,"
                " and run the command again for what it held (scores: score its run dates again)",
                argument=argument,
            )
    raise InputError(
        f"{table.path}: a table of {_described(actual, partitioned_by)} lies there;"
        f" expected one of {_described(schema, expected)}: name another folder",
        argument=argument,
    )


def _columns(schema: StructType) -> set[tuple[str, str]]:
    """The names and types of the columns; order and nullability do not matter."""
    return {(field.name, field.dataType.simpleString()) for field in schema.fields}


def _described(schema: StructType, partitioned_by: Sequence[str]) -> str:
    columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in schema.fields)
    return f"({columns}) partitioned by {', '.join(partitioned_by)}" if partitioned_by else f"({columns})"
