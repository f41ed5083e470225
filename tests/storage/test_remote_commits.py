"""Commits on an object store. Files are written without Spark, which needs a jar for it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Barrier
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql.types import DateType, LongType, StructField, StructType
from servers import BUCKET

from movierate_spark.errors import ConflictError, MovierateError
from movierate_spark.storage import attempts, commits, lake
from movierate_spark.storage.attempts import Attempt, attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.files import entries, files_below, replace_json, tag_of, write_chunks
from movierate_spark.storage.locations import Location, location_of
from movierate_spark.storage.opened_table import open_table
from movierate_spark.storage.run_records import read_records
from movierate_spark.storage.tables import current_files
from movierate_spark.storage.vacuum import vacuum_table

DATED = StructType([StructField("x", LongType()), StructField("run_date", DateType())])
DAY, OTHER_DAY = date(2000, 1, 1), date(2000, 1, 2)
EXAMPLES = Path(__file__).parent / "examples"


def by_arrow(
    rows: Any, table: Location, schema: StructType, folder: Location, run_date: date | None
) -> Attempt:
    """What Spark would leave: a file in the attempt's folder."""
    content = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": rows}), content)
    write_chunks(folder / "part-0.parquet", [content.getvalue().to_pybytes()])
    (entry,) = attempts.data_files(folder)
    path = f"run_date={run_date}/{folder.name}/{entry.name}"
    values = {"run_date": str(run_date)}
    added = attempts._add_action(path, entry.size, values, len(rows))
    return Attempt(table, schema, folder, run_date, (added,), len(rows))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Location:
    request.getfixturevalue("s3")
    monkeypatch.setattr(attempts, "_written", by_arrow)
    return location_of(f"s3a://{BUCKET}/{request.node.name}")


def publish(table: Location, rows: list[int], *, day: date = DAY, **options: Any) -> int:
    with attempt_to_write(rows, table, DATED, run_date=day) as attempt:  # type: ignore[arg-type]
        return commit(attempt, **options)


def test_a_commit_replaces_the_rows_of_its_date(table: Location) -> None:
    assert publish(table, [1, 2]) == 0
    assert publish(table, [3]) == 1
    opened = open_table(table)
    assert (opened.version, opened.rows(DAY), len(current_files(table))) == (1, 1, 1)


def test_a_commit_to_what_another_run_has_replaced_fails(table: Location) -> None:
    seen = open_table(table)
    publish(table, [1])
    with pytest.raises(ConflictError, match="another run has published run date 2000-01-01"):
        publish(table, [2, 3], to=seen)
    assert open_table(table).rows(DAY) == 1
    assert len(files_below(table / "run_date=2000-01-01")) == 1  # the loser's are gone


@pytest.mark.parametrize("days_before", [[], [DAY], [OTHER_DAY]], ids=["new table", "date", "new date"])
def test_of_two_writers_at_once_one_wins(
    table: Location, monkeypatch: pytest.MonkeyPatch, days_before: list[date]
) -> None:
    for day in days_before:
        publish(table, [0], day=day)
    seen = open_table(table), open_table(table)
    both, commit_to = Barrier(2, timeout=60), commits._commit_to

    def together(*arguments: Any) -> None:  # both have looked, and neither has committed
        both.wait()
        commit_to(*arguments)

    monkeypatch.setattr(commits, "_commit_to", together)

    def write(number: int) -> bool:
        try:
            publish(table, [number] * number, to=seen[number - 1])
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(2) as writers:
        won = list(writers.map(write, (1, 2)))
    assert sorted(won) == [False, True]
    assert open_table(table).rows(DAY) == won.index(True) + 1


def test_what_is_not_published_is_removed_or_left_to_vacuum(table: Location) -> None:
    publish(table, [1])
    with pytest.raises(OSError, match="killed"), attempt_to_write([2], table, DATED, run_date=DAY):  # type: ignore[arg-type]
        raise OSError("killed")
    day = table / "run_date=2000-01-01"
    assert len(files_below(day)) == 1
    by_arrow([2], table, DATED, day / ("0" * 32), DAY)  # a process that was killed can't clean up
    assert open_table(table).rows(DAY) == 1
    (removed,) = vacuum_table(table, retention_hours=0)
    assert removed == day / ("0" * 32) / "part-0.parquet"
    assert entries(day) == [current_files(table).pop().split("/")[1]]


def test_a_commit_of_files_that_are_gone_is_refused(table: Location) -> None:
    with attempt_to_write([1], table, DATED, run_date=DAY) as attempt:  # type: ignore[arg-type]
        (attempt.folder / "part-0.parquet").unlink()
        with pytest.raises(MovierateError, match="gone or changed since this run wrote it"):
            commit(attempt)
    assert open_table(table).version is None


def test_a_ledger_that_another_run_has_written_stays(table: Location) -> None:
    ledger = json.loads((EXAMPLES / "ledger.json").read_text())
    replace_json(table / lake.LEDGER, ledger)
    before = lake.LakeState(tag_of(table / lake.LEDGER), {})
    replace_json(table / lake.LEDGER, ledger | {"made_by": "another run"})
    made_of = {name: ledger[name] for name in ("format", "inputs", "settings", "made_by")}
    with pytest.raises(ConflictError, match="another run has published its tables meanwhile"):
        lake.publish(table, {}, {}, made_of, to=before)
    assert lake.read_ledger(table)[0].made_by == "another run"


def test_run_records_are_listed(table: Location) -> None:
    record = (EXAMPLES / "run_record.json").read_bytes()
    write_chunks(table / "_runs" / "20000101T000000Z-score-00000000.json", [record])
    (stored,) = read_records([table])
    assert stored.folder == str(table)
