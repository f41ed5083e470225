"""Tables are written as files first, then made visible by one atomic commit.

Spark writes Parquet files into a fresh attempt folder inside the table; nobody sees them until
one commit adds them to the table's log and takes the replaced files out.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, create_table_with_add_actions
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from movierate_spark.errors import ConflictError, InputError, MovierateError
from movierate_spark.storage.files import remove_if_empty
from movierate_spark.storage.tables import RUN_DATE, delta_location, is_delta_table, log_entries

MOST_TRIES = 50
RENAMED = (("predicted", "predicted_liked"), ("liked", "predicted_liked"))
"""Columns that version 0.1 called otherwise."""
ATTEMPT = "attempt"
"""What a commit's entry in the log calls the folder that its files were written to."""


@dataclass(frozen=True)
class Attempt:
    """Files written for a table and not yet visible."""

    table: Path
    schema: StructType
    folder: Path
    run_date: date | None
    files: tuple[AddAction, ...]
    rows: int


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
        """What a commit of this transaction or run date would replace: another one's makes it another."""
        if self.delta is None:
            return None, frozenset()
        partition = [(RUN_DATE, "=", run_date.isoformat())] if run_date else None
        files = frozenset(self.delta.file_uris(file_pruning_predicate=partition))
        return self.delta.transaction_version(transaction.app_id), files


def open_table(path: Path) -> OpenedTable:
    """The table at ``path`` as it is now, or that there is none."""
    return OpenedTable(path, DeltaTable(delta_location(path)) if is_delta_table(path) else None)


def check_purpose(table: OpenedTable, schema: StructType, *, option: str = "") -> None:
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
                " and run the command again for what it held (scores: movierate score --from --to)"
            )
    raise InputError(
        f"{f'{option} ' if option else ''}{table.path}: a table of {_described(found, parted_by)} lies there;"
        f" expected one of {_described(schema, expected)}: name another folder"
    )


def _columns(schema: StructType) -> set[tuple[str, str]]:
    """Names and types; their order and whether they may be null make no other table."""
    return {(field.name, field.dataType.simpleString()) for field in schema.fields}


def _described(schema: StructType, parted_by: Sequence[str]) -> str:
    columns = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in schema.fields)
    return f"({columns}) partitioned by {', '.join(parted_by)}" if parted_by else f"({columns})"


@contextmanager
def attempt_to_write(
    frame: DataFrame, table: Path, schema: StructType, *, run_date: date | None = None
) -> Iterator[Attempt]:
    """Write ``frame`` beside the table's files; they are removed again unless the block ends well.

    Folders that were made for them go, too, but never what has been published by then, nor what another run
    has put there. With ``run_date`` the rows belong to that partition, whose column the frame carries.
    """
    parent = table / f"{RUN_DATE}={run_date.isoformat()}" if run_date else table
    folder = parent / uuid.uuid4().hex
    made = [path for path in (parent, *parent.parents) if not path.exists()]
    try:
        yield _written(frame, table, schema, folder, run_date)
    except BaseException:
        if not _may_be_published(table, folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            remove_if_empty(made)
        raise


def _may_be_published(table: Path, attempt: str) -> bool:
    """Whether a version of the table is of an attempt, or its log can't be read for now."""
    try:
        return _version_of(table, attempt) is not None
    except OSError:
        return True


def _version_of(table: Path, attempt: str, *, after: int = -1) -> int | None:
    """The version that an attempt has become, of those ``after`` one; None where it has become none."""
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
    frame: DataFrame, table: Path, schema: StructType, folder: Path, run_date: date | None
) -> Attempt:
    stored = [field for field in schema.fields if not (run_date and field.name == RUN_DATE)]
    columns = [F.col(field.name).cast(field.dataType).alias(field.name) for field in stored]
    # Few files of a decent size, however many tasks have made the rows: nobody compacts them later.
    written = Observation()
    balanced = frame.select(*columns).hint("rebalance")
    balanced.observe(written, F.count(F.lit(1)).alias("rows")).write.parquet(str(folder))
    values: dict[str, str | None] = {RUN_DATE: run_date.isoformat()} if run_date else {}
    actions, rows = [], 0
    for path in data_files(folder):
        footer = pq.read_metadata(path)
        names = [field.name for field in stored]
        if footer.schema.to_arrow_schema().names != names:
            raise MovierateError(f"{path}: written with columns other than {', '.join(names)}")
        if footer.num_rows:
            actions.append(_add_action(path, table, values, footer.num_rows))
            rows += footer.num_rows
    if rows != written.get["rows"]:
        raise MovierateError(
            f"{folder}: {written.get['rows']} rows were written, and {rows} lie there: do the driver and the"
            " executors see the same file system?"
        )
    return Attempt(table, schema, folder, run_date, tuple(actions), rows)


def data_files(folder: Path) -> list[Path]:
    """The Parquet files that Spark has left in a folder."""
    return sorted(folder.glob("*.parquet"))


def _add_action(path: Path, table: Path, values: dict[str, str | None], rows: int) -> AddAction:
    return AddAction(
        path=path.relative_to(table).as_posix(),
        size=path.stat().st_size,
        partition_values=values,
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": rows}),
    )


def commit(
    attempt: Attempt,
    *,
    to: OpenedTable | None = None,
    transaction: Transaction | None = None,
    also: Sequence[Transaction] = (),
) -> int:
    """Make an attempt the table's content (or that of its run date), and return the version that it became.

    ``to`` is the table as it was opened before its inputs were read. Commits of other run dates may have come
    between; one of the same run date, or any one of a table without dates, has won. ``transaction`` stays
    with the table, where :meth:`OpenedTable.transaction` finds it; an attempt without one gets one, as only
    transactions tell two commits apart that find nothing to replace. ``also`` are others to be kept with it.

    Raises:
        ConflictError: another run published the same thing first.
        InputError: the table is for something else, or has become so.
        MovierateError: files of the attempt are gone, or not as they were written.
    """
    begun = to or open_table(attempt.table)
    transaction = transaction or _transaction_of(attempt)
    before = begun.state(transaction, attempt.run_date)
    since = -1 if begun.version is None else begun.version
    now = begun
    for _ in range(MOST_TRIES):
        # Delta takes any schema into any table, which then no longer opens.
        latest = open_table(attempt.table)
        check_purpose(latest, attempt.schema)
        if latest.version != now.version and latest.state(transaction, attempt.run_date) != before:
            break  # somebody else's append takes no part in Delta's check for conflicts
        _check_files(attempt)
        try:
            _commit_to(now, attempt, [transaction, *also])
            return _own_version(attempt, after=since)
        except (DeltaError, OSError):
            version = _version_of(attempt.table, attempt.folder.name, after=since)
            if version is not None:
                return version  # only what follows a commit has failed: a checkpoint, say
            now = open_table(attempt.table)
            if now.version is None or now.version == since:
                raise
        if attempt.run_date is None or now.state(transaction, attempt.run_date) != before:
            break
    what = f"run date {attempt.run_date}" if attempt.run_date else "its content"
    raise ConflictError(
        f"{attempt.table}: another run has published {what} meanwhile; this one changed nothing"
    )


def _transaction_of(attempt: Attempt) -> Transaction:
    """A transaction for rows that nobody asks for again by their inputs: another one for every attempt."""
    name = f"content/{attempt.run_date.isoformat()}" if attempt.run_date else "content"
    return Transaction(name, int(attempt.folder.name, 16) >> 65)


def _own_version(attempt: Attempt, *, after: int) -> int:
    version = _version_of(attempt.table, attempt.folder.name, after=after)
    if version is None:
        raise MovierateError(f"{attempt.table}: published, but its log does not say in which version")
    return version


def _check_files(attempt: Attempt) -> None:
    """Delta takes files into a table that do not exist."""
    for file in attempt.files:
        path = attempt.table / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            raise MovierateError(
                f"{path}: gone or changed since this run wrote it, so nothing was published: has somebody"
                " cleared the table's folder (vacuum --even-recent)? Run it again"
            )


def _commit_to(table: OpenedTable, attempt: Attempt, transactions: list[Transaction]) -> None:
    schema = Schema.from_json(attempt.schema.json())
    partition_by = [RUN_DATE] if attempt.run_date else None
    properties = CommitProperties(
        custom_metadata={ATTEMPT: attempt.folder.name}, app_transactions=transactions
    )
    if table.delta is None:
        create_table_with_add_actions(
            delta_location(attempt.table),
            schema,
            list(attempt.files),
            mode="error",
            partition_by=partition_by,
            commit_properties=properties,
        )
    else:
        replaced = [(RUN_DATE, "=", attempt.run_date.isoformat())] if attempt.run_date else None
        table.delta.create_write_transaction(
            list(attempt.files),
            "overwrite",
            schema,
            partition_by=partition_by,
            partition_filters=replaced,
            commit_properties=properties,
        )
