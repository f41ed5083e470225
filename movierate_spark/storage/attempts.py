"""Files of a table that nobody sees yet: Spark writes them into a fresh folder inside the table."""

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
from deltalake.transaction import AddAction
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from movierate_spark.errors import MovierateError
from movierate_spark.storage.files import remove_if_empty
from movierate_spark.storage.tables import RUN_DATE, log_entries

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
        return version_of(table, attempt) is not None
    except OSError:
        return True


def version_of(table: Path, attempt: str, *, after: int = -1) -> int | None:
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


def check_files(attempt: Attempt) -> None:
    """Refuse an attempt whose files are gone: Delta takes files into a table that do not exist.

    Raises:
        MovierateError: files are gone, or not as they were written.
    """
    for file in attempt.files:
        path = attempt.table / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            raise MovierateError(
                f"{path}: gone or changed since this run wrote it, so nothing was published: has somebody"
                " cleared the table's folder, or vacuumed even recent files? Run it again"
            )
