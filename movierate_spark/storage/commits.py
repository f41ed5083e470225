"""Commits: an attempt becomes a table's content atomically.

A commit adds the attempt's files to the table's log, and removes the files that they replace from it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from urllib.parse import quote

from deltalake import CommitProperties, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import RemoveAction, create_table_with_add_actions

from movierate_spark.errors import ConflictError, MovierateError
from movierate_spark.storage.attempts import ATTEMPT, Attempt, check_files, version_of
from movierate_spark.storage.locations.delta import delta_location, delta_options
from movierate_spark.storage.opened_table import OpenedTable, check_purpose, open_table
from movierate_spark.storage.tables import RUN_DATE

MOST_TRIES = 50
KEEP_LOG = PostCommitHookProperties(cleanup_expired_logs=False)
"""For all commits: delta-rs would remove entries of more than 30 days from the log at every hundredth commit.

After a pause that long, it would remove the version that the ledger still names.
"""


def commit(
    attempt: Attempt,
    *,
    to: OpenedTable | None = None,
    transaction: Transaction | None = None,
    also: Sequence[Transaction] = (),
    replacing: Collection[str] | None = None,
) -> int:
    """Make an attempt the content of the table (or of its run date); returns the table's new version.

    With ``replacing``, it replaces only these of the table's files, and all others stay; an empty collection
    means that its rows are added.

    ``to`` is the table as it was opened before the inputs were read. Later commits of other run dates are no
    conflict. A later commit of the same run date is one, and so is any later commit if the table has no run
    dates. ``transaction`` is stored in the table's log, where :meth:`OpenedTable.transaction` reads it. By
    default a new one is used, as a commit without any files can only be noticed by its transaction. ``also``
    are further transactions to store.

    Raises:
        ConflictError: another run has published the same run date or table meanwhile.
        InputError: the table now has another schema or other partitions.
        MovierateError: files of the attempt are missing or changed.
    """
    initial = to or open_table(attempt.table)
    transaction = transaction or _transaction_of(attempt)
    before = initial.state(transaction, attempt.run_date)
    since = -1 if initial.version is None else initial.version
    now = initial
    for _ in range(MOST_TRIES):
        # Delta would accept another schema, and the table could no longer be opened.
        latest = open_table(attempt.table)
        check_purpose(latest, attempt.schema)
        if latest.version != now.version and latest.state(transaction, attempt.run_date) != before:
            break  # Delta's own check for conflicts ignores appends
        if attempt.run_date is not None:
            now, since = latest, -1 if latest.version is None else latest.version
        check_files(attempt)
        version_before = now.version
        try:
            _commit_to(now, attempt, [transaction, *also], replacing)
            return _own_version(attempt, after=since)
        except (DeltaError, OSError):
            version = version_of(attempt.table, attempt.folder.name, after=since)
            if version is not None:
                return version  # the commit succeeded; a later step failed, such as a checkpoint
            now = open_table(attempt.table)
            if now.version is None or now.version == version_before:
                raise  # nobody was first: the storage failed
        if attempt.run_date is None or now.state(transaction, attempt.run_date) != before:
            break
    what = f"run date {attempt.run_date}" if attempt.run_date else "its content"
    raise ConflictError(
        f"{attempt.table}: another run has published {what} meanwhile; this one changed nothing"
    )


def _transaction_of(attempt: Attempt) -> Transaction:
    """A transaction that is unique to the attempt, for commits whose inputs are not compared later."""
    name = f"content/{attempt.run_date.isoformat()}" if attempt.run_date else "content"
    return Transaction(name, int(attempt.folder.name, 16) >> 65)


def _own_version(attempt: Attempt, *, after: int) -> int:
    version = version_of(attempt.table, attempt.folder.name, after=after)
    if version is None:
        raise MovierateError(f"{attempt.table}: published, but its log does not say in which version")
    return version


def _commit_to(
    table: OpenedTable, attempt: Attempt, transactions: list[Transaction], replacing: Collection[str] | None
) -> None:
    schema = Schema.from_json(attempt.schema.json())
    partition_by = [RUN_DATE] if attempt.run_date else None
    # Delta would commit again as the next version, without asking whether it replaces another run's rows.
    properties = CommitProperties(
        custom_metadata={ATTEMPT: attempt.folder.name}, app_transactions=transactions, max_commit_retries=0
    )
    if table.delta is None:
        create_table_with_add_actions(
            delta_location(attempt.table),
            schema,
            list(attempt.files),
            mode="error",
            partition_by=partition_by,
            storage_options=delta_options(attempt.table),
            commit_properties=properties,
            post_commithook_properties=KEEP_LOG,
        )
    elif replacing is not None:
        now = int(time.time() * 1000)
        removed = [RemoveAction(quote(name), True, now) for name in sorted(replacing)]
        table.delta.create_write_transaction(
            [*removed, *attempt.files],
            "append",
            schema,
            commit_properties=properties,
            post_commithook_properties=KEEP_LOG,
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
            post_commithook_properties=KEEP_LOG,
        )
