"""An attempt becomes a table's content by one atomic commit.

It adds the attempt's files to the table's log and takes the replaced ones out.
"""

from __future__ import annotations

from collections.abc import Sequence

from deltalake import CommitProperties, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import create_table_with_add_actions

from movierate_spark.errors import ConflictError, MovierateError
from movierate_spark.storage.attempts import ATTEMPT, Attempt, check_files, version_of
from movierate_spark.storage.opened_table import OpenedTable, check_purpose, open_table
from movierate_spark.storage.tables import RUN_DATE, delta_location

MOST_TRIES = 50


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
        check_files(attempt)
        try:
            _commit_to(now, attempt, [transaction, *also])
            return _own_version(attempt, after=since)
        except (DeltaError, OSError):
            version = version_of(attempt.table, attempt.folder.name, after=since)
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
    version = version_of(attempt.table, attempt.folder.name, after=after)
    if version is None:
        raise MovierateError(f"{attempt.table}: published, but its log does not say in which version")
    return version


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
