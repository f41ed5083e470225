"""A table as it was when a run began, and whether it is for the rows of that run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable, Transaction
from pyspark.sql.types import StructType

from movierate_spark.errors import InputError
from movierate_spark.storage.tables import RUN_DATE, delta_location, is_delta_table

RENAMED = (("predicted", "predicted_liked"), ("liked", "predicted_liked"))
"""Columns that version 0.1 called otherwise."""


@dataclass(frozen=True)
class OpenedTable:
    """A table as it was when a run began: what is committed through it loses to whoever came first.

    ``delta`` is None where there was no table yet.
    """

    path: Path
    delta: DeltaTable | None

    @property
    def version(self) -> int | None:
        """The version as which it was opened; None where there was no table."""
        return None if self.delta is None else self.delta.version()

    def transaction(self, name: str) -> int | None:
        """The number that the last commit of this name carried; None where there was none."""
        return None if self.delta is None else self.delta.transaction_version(name)

    def rows(self, run_date: date | None = None) -> int | None:
        """How many rows lie there, or in a run date's partition; None where that can't be told.

        It can't where there is no table, where a file is gone or does not say how many rows it holds, nor
        where rows may be deleted without a new file.
        """
        if self.delta is None or "deletionVectors" in (self.delta.protocol().reader_features or ()):
            return None
        rows = 0
        for path, count in self._files.get(run_date, ()):
            if count is None or not (self.path / unquote(path)).is_file():
                return None
            rows += count
        return rows

    @cached_property
    def _files(self) -> Mapping[date | None, list[tuple[str, int | None]]]:
        """Path and rows of each file by run date, read once: a backfill asks for many dates."""
        found: dict[date | None, list[tuple[str, int | None]]] = {}
        actions = self.delta.get_add_actions(flatten=True) if self.delta else None
        if actions is None or not actions.num_rows:
            return found
        columns = {name: actions.column(name).to_pylist() for name in actions.schema.names}
        nothing = [None] * actions.num_rows
        dates, counts = (columns.get(name, nothing) for name in (f"partition.{RUN_DATE}", "num_records"))
        for run_date, path, count in zip(dates, columns["path"], counts, strict=True):
            found.setdefault(run_date, []).append((path, count))
        return found

    def state(self, transaction: Transaction, run_date: date | None) -> object:
        """What a commit of this transaction or run date would replace: a later commit changes it."""
        if self.delta is None:
            return None, frozenset()
        partition = [(RUN_DATE, "=", run_date.isoformat())] if run_date else None
        files = frozenset(self.delta.file_uris(file_pruning_predicate=partition))
        return self.delta.transaction_version(transaction.app_id), files


def open_table(path: Path) -> OpenedTable:
    """The table at ``path`` as it is now, or that there is none."""
    return OpenedTable(path, DeltaTable(delta_location(path)) if is_delta_table(path) else None)


def check_purpose(table: OpenedTable, schema: StructType, *, argument: str | None = None) -> None:
    """Refuse a table that is for something else than rows of ``schema``, parted by run date if they have one.

    Raises:
        InputError: its columns, their types or its partitions are others.
    """
    if table.delta is None:
        return
    found = StructType.fromJson(json.loads(table.delta.schema().to_json()))
    parted_by = table.delta.metadata().partition_columns
    expected = [RUN_DATE] if RUN_DATE in schema.names else []
    if parted_by == expected and _columns(found) == _columns(schema):
        return
    for old, new in RENAMED:
        renamed = {(new if name == old else name, kind) for name, kind in _columns(found)}
        if old in found.names and renamed == _columns(schema):
            raise InputError(
                f"{table.path}: a table of version 0.1, in which {new} is called {old}: name a new folder,"
                " and run the command again for what it held (scores: score its run dates again)",
                argument=argument,
            )
    raise InputError(
        f"{table.path}: a table of {_described(found, parted_by)} lies there;"
        f" expected one of {_described(schema, expected)}: name another folder",
        argument=argument,
    )


def _columns(schema: StructType) -> set[tuple[str, str]]:
    """Names and types; their order and whether they may be null make no other table."""
    return {(field.name, field.dataType.simpleString()) for field in schema.fields}


def _described(schema: StructType, parted_by: Sequence[str]) -> str:
    columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in schema.fields)
    return f"({columns}) partitioned by {', '.join(parted_by)}" if parted_by else f"({columns})"
