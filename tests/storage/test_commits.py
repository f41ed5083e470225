"""Commits that conflict with an earlier one, and files that are no longer used."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError
from pyspark.sql import SparkSession
from pyspark.sql.types import DateType, LongType, StructField, StructType

from movierate_spark.errors import ConflictError, InputError, MovierateError
from movierate_spark.storage import commits
from movierate_spark.storage.attempts import Attempt, attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.opened_table import OpenedTable, open_table
from movierate_spark.storage.tables import is_delta_table, read_table
from movierate_spark.storage.vacuum import vacuum_table
from movierate_spark.workflows.vacuum import vacuum_folder

DATED = StructType([StructField("x", LongType()), StructField("run_date", DateType())])
PLAIN = StructType([StructField("x", LongType())])
FIRST, SECOND = date(2000, 1, 1), date(2000, 1, 2)
EXAMPLES = Path(__file__).parent / "examples"


def publish(
    spark: SparkSession, path: Path, x: int | None, day: date | None = FIRST, to: OpenedTable | None = None
) -> Attempt:
    schema = DATED if day else PLAIN
    rows = [] if x is None else [(x, day) if day else (x,)]
    with attempt_to_write(spark.createDataFrame(rows, schema), path, schema, run_date=day) as attempt:
        transaction = Transaction(f"test/{day}", x or 0) if day else None
        commit(attempt, to=to, transaction=transaction)
    return attempt


def content(spark: SparkSession, path: Path, schema: StructType = DATED) -> set[tuple[object, ...]]:
    return {tuple(row) for row in read_table(spark, path, schema).collect()}


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


def test_a_folder_is_known_by_any_of_its_names(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(spark, tmp_path / "lake" / "ratings", 1, None)
    (tmp_path / "lake" / "ledger.json").write_text("{}")
    (tmp_path / "alias").symlink_to(tmp_path / "lake" / "ratings")
    monkeypatch.chdir(tmp_path / "lake" / "ratings")
    for name in (Path(), tmp_path / "alias"):
        with pytest.raises(InputError, match="name the lake"):
            vacuum_folder(name, retention_hours=0)


def test_vacuum_keeps_the_predictions_that_metrics_name(spark: SparkSession, tmp_path: Path) -> None:
    predictions = tmp_path / "predictions"
    publish(spark, predictions, 1, None)
    publish(spark, predictions, 2, None)
    (tmp_path / "metrics.json").write_text('{"predictions_version": 0}')
    vacuum_folder(predictions, retention_hours=0, even_recent=True)
    assert read_table(spark, predictions, PLAIN, version=0).collect() == [(1,)]
    (tmp_path / "metrics.json").write_text('{"predictions_version": 1}')
    assert len(vacuum_folder(predictions, retention_hours=0, even_recent=True)) == 1
    assert content(spark, predictions, PLAIN) == {(2,)}


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


def older(path: Path, *, hours: float) -> None:
    then = time.time() - hours * 3600
    for file in (path, *path.rglob("*")):
        os.utime(file, (then, then))


def test_vacuum_removes_dead_attempts_of_age_and_keeps_what_is_read(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "t"
    publish(spark, path, 1)
    dead = []
    for day in (FIRST, SECOND):  # as after a run that was killed before its commit
        folder = path / f"run_date={day}" / f"{len(dead):032x}"
        spark.createDataFrame([(9,)], PLAIN).write.parquet(str(folder))
        dead.append(folder)
    older(dead[0], hours=200)
    assert len(vacuum_table(path, retention_hours=168, dry_run=True)) >= 1
    assert dead[0].exists()
    vacuum_table(path, retention_hours=168)
    assert not dead[0].exists()
    assert dead[1].exists()
    assert content(spark, path) == {(1, FIRST)}
    vacuum_table(path, retention_hours=0)
    assert not dead[1].exists()
    assert content(spark, path) == {(1, FIRST)}


def test_a_replaced_file_is_as_old_as_its_replacement_also_after_a_checkpoint(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "t"
    attempts = [publish(spark, path, x) for x in (1, 2, 3)]
    files = [path / file.path for attempt in attempts for file in attempt.files]
    for file in files:
        older(file, hours=200)
    DeltaTable(str(path)).create_checkpoint()
    assert vacuum_table(path, retention_hours=168) == []
    assert {tuple(row) for row in read_table(spark, path, DATED, version=0).collect()} == {(1, FIRST)}
    for entry in (path / "_delta_log").glob("*.json"):
        then = str(int((time.time() - 169 * 3600) * 1000))
        entry.write_text(re.sub(r'"deletionTimestamp":\d+', f'"deletionTimestamp":{then}', entry.read_text()))
    (path / "_delta_log" / "_last_checkpoint").unlink()
    for checkpoint in (path / "_delta_log").glob("*.parquet"):
        checkpoint.unlink()
    assert sorted(vacuum_table(path, retention_hours=168)) == sorted(files[:2])
    assert content(spark, path) == {(3, FIRST)}


def test_an_attempt_is_as_old_as_the_last_change_in_it(spark: SparkSession, tmp_path: Path) -> None:
    publish(spark, tmp_path / "t", 1)
    attempt = tmp_path / "t" / f"run_date={FIRST}" / f"{0:032x}"
    (attempt / "_temporary" / "0").mkdir(parents=True)
    older(attempt, hours=200)
    (attempt / "_temporary" / "0" / "task").touch()
    vacuum_table(tmp_path / "t", retention_hours=168)
    assert attempt.is_dir()
    older(attempt, hours=200)
    vacuum_table(tmp_path / "t", retention_hours=168)
    assert not attempt.exists()


def test_a_part_of_an_hour_is_a_part_of_an_hour(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "t"
    publish(spark, path, 1)
    dead = path / f"run_date={FIRST}" / f"{0:032x}"
    spark.createDataFrame([(9,)], PLAIN).write.parquet(str(dead))
    older(dead, hours=0.5)
    assert vacuum_table(path, retention_hours=0.9) == []
    assert len(vacuum_table(path, retention_hours=0.4)) >= 1
    assert not dead.exists()


@pytest.mark.parametrize(("longest", "stays"), [(60, 23), (100 * 3600, 199)])
def test_vacuum_leaves_what_a_run_under_way_may_need_unless_told_that_there_is_none(
    spark: SparkSession, tmp_path: Path, longest: int, stays: int
) -> None:
    path = tmp_path / "t"
    publish(spark, path, 1)
    (path / "_runs").mkdir()
    record = json.loads((EXAMPLES / "run_record.json").read_text())
    (path / "_runs" / "a.json").write_text(json.dumps({**record, "seconds": longest}))
    dead = path / f"run_date={FIRST}" / f"{0:032x}"
    spark.createDataFrame([(9,)], PLAIN).write.parquet(str(dead))
    older(dead, hours=stays)
    assert vacuum_folder(path, retention_hours=0) == []
    older(dead, hours=stays + 2)
    assert len(vacuum_folder(path, retention_hours=0, dry_run=True)) >= 1
    older(dead, hours=0)
    assert len(vacuum_folder(path, retention_hours=0, even_recent=True)) >= 1
    assert content(spark, path) == {(1, FIRST)}


def test_a_run_whose_files_are_gone_before_its_commit_publishes_nothing(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "t"
    publish(spark, path, 1)
    frame = spark.createDataFrame([(2, FIRST)], DATED)

    def cleared() -> None:
        with attempt_to_write(frame, path, DATED, run_date=FIRST) as attempt:
            vacuum_table(path, retention_hours=0)
            commit(attempt)

    with pytest.raises(MovierateError, match="gone or changed since this run wrote it, so nothing"):
        cleared()
    assert content(spark, path) == {(1, FIRST)}


def test_vacuum_removes_what_tasks_of_a_killed_run_had_written(spark: SparkSession, tmp_path: Path) -> None:
    publish(spark, tmp_path / "t", 1, None)
    killed = tmp_path / "t" / f"{7:032x}"
    (killed / "_temporary" / "0" / "task_1").mkdir(parents=True)
    (killed / "_temporary" / "0" / "task_1" / "part-0.parquet").touch()
    vacuum_table(tmp_path / "t", retention_hours=1)
    assert killed.exists()
    older(killed, hours=2)
    vacuum_table(tmp_path / "t", retention_hours=1)
    assert not killed.exists()
    assert content(spark, tmp_path / "t", PLAIN) == {(1,)}


def test_vacuum_keeps_the_versions_that_are_named(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "t"
    publish(spark, path, 1, None)
    publish(spark, path, 2, None)
    publish(spark, path, 3, None)
    vacuum_table(path, retention_hours=0, keep=[0])
    assert {tuple(row) for row in read_table(spark, path, PLAIN, version=0).collect()} == {(1,)}
    assert content(spark, path, PLAIN) == {(3,)}
    assert len(list(path.rglob("*.parquet"))) == 2


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
