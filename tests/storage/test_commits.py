"""Commits that conflict with an earlier one, or fail."""

from __future__ import annotations

import os
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError
from publishing import DATED, FIRST, PLAIN, SECOND, content, publish
from pyspark.sql import SparkSession

from movierate_spark.errors import ConflictError, InputError
from movierate_spark.storage import commits
from movierate_spark.storage.attempts import attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.lake import LakeState, at_versions
from movierate_spark.storage.opened_table import open_table
from movierate_spark.storage.tables import is_delta_table, read_table


def test_of_two_runs_of_one_date_the_first_to_commit_wins(spark: SparkSession, tmp_path: Path) -> None:
    for path in (tmp_path / "new", tmp_path / "old"):
        if path.name == "old":
            publish(spark, path, 1)
        seen = open_table(path)
        publish(spark, path, 2)
        with pytest.raises(ConflictError, match="another run has published run date 2000-01-01"):
            publish(spark, path, 3, to=seen)
        assert content(spark, path) == {(2, FIRST)}


def test_runs_of_different_dates_both_commit(spark: SparkSession, tmp_path: Path) -> None:
    for path in (tmp_path / "new", tmp_path / "old"):
        if path.name == "old":
            publish(spark, path, 1, date(1999, 12, 31))
        seen = open_table(path)
        publish(spark, path, 2)
        publish(spark, path, 3, SECOND, to=seen)
        assert {(2, FIRST), (3, SECOND)} <= content(spark, path)


def test_of_many_dates_each_commit_reads_only_its_own_entry_of_the_log(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(spark, tmp_path, 1)
    opened, look, read = open_table(tmp_path), commits.version_of, []

    def version_of(table: Path, attempt: str, *, after: int) -> int | None:
        read.append(after)
        return look(table, attempt, after=after)

    monkeypatch.setattr(commits, "version_of", version_of)
    for number in range(1, 4):
        publish(spark, tmp_path, number, FIRST + timedelta(days=number), to=opened)
    assert read == [0, 1, 2]


def test_the_same_inputs_at_once_are_two_runs_too(spark: SparkSession, tmp_path: Path) -> None:
    publish(spark, tmp_path / "t", 1)
    seen = open_table(tmp_path / "t")
    winner = publish(spark, tmp_path / "t", 1)
    with pytest.raises(ConflictError):
        publish(spark, tmp_path / "t", 1, to=seen)
    assert DeltaTable(str(tmp_path / "t")).file_uris() == [
        str(tmp_path / "t" / file.path) for file in winner.files
    ]


def test_a_table_without_dates_takes_one_writer(spark: SparkSession, tmp_path: Path) -> None:
    publish(spark, tmp_path / "t", 1, None)
    seen = open_table(tmp_path / "t")
    publish(spark, tmp_path / "t", 2, None)
    with pytest.raises(ConflictError, match="its content"):
        publish(spark, tmp_path / "t", 3, None, to=seen)
    assert content(spark, tmp_path / "t", PLAIN) == {(2,)}


def test_an_empty_result_replaces_its_date(spark: SparkSession, tmp_path: Path) -> None:
    publish(spark, tmp_path / "t", 1)
    publish(spark, tmp_path / "t", 2, SECOND)
    publish(spark, tmp_path / "t", None)
    assert content(spark, tmp_path / "t") == {(2, SECOND)}
    assert open_table(tmp_path / "t").transaction(f"test/{FIRST}") == 0


def test_rows_that_somebody_else_appends_meanwhile_win(spark: SparkSession, tmp_path: Path) -> None:
    for path, day in ((tmp_path / "dated", FIRST), (tmp_path / "plain", None)):
        publish(spark, path, 1, day)
        seen = open_table(path)
        columns = {"x": [7], **({"run_date": [day]} if day else {})}
        write_deltalake(str(path), pa.table(columns), mode="append")
        with pytest.raises(ConflictError):
            publish(spark, path, 2, day, to=seen)
        assert {row[0] for row in content(spark, path, DATED if day else PLAIN)} == {1, 7}


def test_a_failed_attempt_leaves_what_others_have_put_there(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "new"
    frame = spark.createDataFrame([(1, FIRST)], DATED)

    def fail_after_another_run() -> None:
        with attempt_to_write(frame, path, DATED, run_date=FIRST):
            publish(spark, path, 2, SECOND)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_after_another_run()
    assert content(spark, path) == {(2, SECOND)}
    assert not (path / "run_date=2000-01-01").exists()


def test_a_table_that_becomes_another_one_while_a_run_is_under_way_is_not_destroyed(
    spark: SparkSession, tmp_path: Path
) -> None:
    seen = open_table(tmp_path / "t")
    publish(spark, tmp_path / "t", 1)
    with pytest.raises(InputError, match=r"t: a table of \(x bigint, run_date date\) partitioned"):
        publish(spark, tmp_path / "t", 2, None)
    with pytest.raises(InputError, match=r"expected one of \(x bigint\): name another folder"):
        publish(spark, tmp_path / "t", 2, None, to=seen)
    assert content(spark, tmp_path / "t") == {(1, FIRST)}
    assert {entry.name for entry in (tmp_path / "t").iterdir()} == {"_delta_log", "run_date=2000-01-01"}


@pytest.mark.parametrize("x", [3, None])
@pytest.mark.parametrize("day", [FIRST, None])
def test_of_two_overlapping_runs_into_an_empty_table_one_wins(
    spark: SparkSession, tmp_path: Path, day: date | None, x: int | None
) -> None:
    schema = DATED if day else PLAIN
    publish(spark, tmp_path / "t", None, day)
    seen = open_table(tmp_path / "t")
    publish(spark, tmp_path / "t", 2, day)
    with pytest.raises(ConflictError, match="another run has published"):
        publish(spark, tmp_path / "t", x, day, to=seen)
    assert content(spark, tmp_path / "t", schema) == {(2, day) if day else (2,)}


def test_a_commit_returns_its_own_version_also_where_others_follow_it(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtake(owner: object, name: str) -> None:
        really = getattr(owner, name)

        def overtaken(*arguments: Any, **more: Any) -> None:
            monkeypatch.setattr(owner, name, really)
            really(*arguments, **more)
            publish(spark, tmp_path / "t", 2, SECOND)

        monkeypatch.setattr(owner, name, overtaken)

    steps = (commits, "create_table_with_add_actions", 0), (DeltaTable, "create_write_transaction", 2)
    for owner, name, version in steps:
        overtake(owner, name)
        frame = spark.createDataFrame([], DATED)
        with attempt_to_write(frame, tmp_path / "t", DATED, run_date=FIRST) as attempt:
            assert commit(attempt, transaction=Transaction("first", version)) == version


def test_a_run_that_fails_after_another_has_replaced_its_rows_keeps_its_version_readable(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = spark.createDataFrame([(1,)], PLAIN)

    def failed() -> None:
        with attempt_to_write(rows, tmp_path / "t", PLAIN) as attempt:
            assert commit(attempt) == 0
            publish(spark, tmp_path / "t", 2, None)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        failed()
    assert read_table(spark, tmp_path / "t", PLAIN, version=0).collect() == [(1,)]
    assert content(spark, tmp_path / "t", PLAIN) == {(2,)}


@pytest.mark.parametrize("error", [DeltaError("the checkpoint"), OSError("No space left on device")])
def test_a_commit_whose_checkpoint_fails_is_published_all_the_same(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    really = commits._commit_to

    def with_a_failing_end(*arguments: Any) -> None:
        really(*arguments)
        raise error

    monkeypatch.setattr(commits, "_commit_to", with_a_failing_end)
    for x, day in ((1, FIRST), (2, FIRST), (3, SECOND)):
        publish(spark, tmp_path / "t", x, day)
    assert content(spark, tmp_path / "t") == {(2, FIRST), (3, SECOND)}


def test_a_storage_that_fails_is_not_another_run(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(spark, tmp_path / "t", 1, FIRST)
    seen, tries = open_table(tmp_path / "t"), []
    publish(spark, tmp_path / "t", 2, FIRST)

    def failing(*_: Any) -> None:
        tries.append(1)
        raise OSError("File too large")

    monkeypatch.setattr(commits, "_commit_to", failing)
    with pytest.raises(OSError, match="File too large"):
        publish(spark, tmp_path / "t", 3, SECOND, to=seen)
    assert len(tries) == 1  # that the table had changed was seen before it


@pytest.mark.parametrize("next_one", ["a commit", "a date's commit", "a restore"])
def test_the_version_before_stays_readable_after_a_pause_of_months(
    spark: SparkSession, tmp_path: Path, next_one: str
) -> None:
    """Every hundredth commit, delta-rs would remove the log's entries of more than 30 days."""
    day, schema = (None, PLAIN) if next_one == "a commit" else (FIRST, DATED)
    publish(spark, tmp_path / "t", 1, day)
    table = DeltaTable(tmp_path / "t")
    for _ in range(98):
        table.create_write_transaction([], "append", table.schema())
    for entry in (tmp_path / "t" / "_delta_log").iterdir():
        os.utime(entry, (long_ago := time.time() - 100 * 86_400, long_ago))
    if next_one == "a restore":
        at_versions(LakeState("", {"t": open_table(tmp_path / "t")}), {"t": 90})
    else:
        publish(spark, tmp_path / "t", 2, day)
    assert open_table(tmp_path / "t").version == 99
    assert [row["x"] for row in read_table(spark, tmp_path / "t", schema, version=98).collect()] == [1]


def test_what_was_published_stays_when_something_fails_later(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.createDataFrame([(1,)], PLAIN)

    def interrupted() -> None:
        with attempt_to_write(rows, tmp_path / "t", PLAIN) as attempt:
            commit(attempt)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert content(spark, tmp_path / "t", PLAIN) == {(1,)}


def test_a_log_without_an_entry_is_no_table_and_may_become_one(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t" / "_delta_log").mkdir(parents=True)
    assert not is_delta_table(tmp_path / "t")
    publish(spark, tmp_path / "t", 1)
    assert content(spark, tmp_path / "t") == {(1, FIRST)}
