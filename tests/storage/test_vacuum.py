"""Files that are no longer used, and those that somebody may still need."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake import DeltaTable
from publishing import DATED, FIRST, PLAIN, SECOND, content, publish
from pyspark.sql import SparkSession

from movierate_spark.errors import InputError, MovierateError
from movierate_spark.storage import vacuum
from movierate_spark.storage.attempts import attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.run_records import longest_run
from movierate_spark.storage.tables import read_table
from movierate_spark.storage.vacuum import vacuum_table
from movierate_spark.workflows.vacuum import vacuum_folder

EXAMPLES = Path(__file__).parent / "examples"


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
    with pytest.raises(InputError, match=r"ledger\.json"):
        vacuum_folder(tmp_path / "lake", retention_hours=0)


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


def test_a_record_that_can_not_be_read_counts_from_its_name_to_its_last_change(tmp_path: Path) -> None:
    runs = tmp_path / "_runs"
    runs.mkdir()
    for name in ("20260302T030000Z-train-1.json", "notes.json"):
        (runs / name).write_text("{")
        os.utime(runs / name, (0, datetime(2026, 3, 2, 5, tzinfo=UTC).timestamp()))
    assert longest_run(tmp_path) == 7200


def test_files_to_which_a_table_goes_back_meanwhile_stay(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table"
    publish(spark, table, 1, None)
    publish(spark, table, 2, None)
    look = vacuum._replaced_at

    def gone_back(path: Path) -> dict[str, float]:
        DeltaTable(table).restore(0)
        return look(path)

    monkeypatch.setattr(vacuum, "_replaced_at", gone_back)
    vacuum_folder(table, retention_hours=0, even_recent=True)
    assert content(spark, table, PLAIN) == {(1,)}
