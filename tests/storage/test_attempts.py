from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, LongType, StructField, StructType

from movierate_spark.errors import MovierateError
from movierate_spark.storage import attempts
from movierate_spark.storage.attempts import attempt_to_write
from movierate_spark.storage.commits import commit

DATED = StructType([StructField("x", LongType()), StructField("run_date", DateType())])
PLAIN = StructType([StructField("x", LongType())])
FIRST = date(2000, 1, 1)


@pytest.mark.usefixtures("compiled")
def test_few_rows_are_one_file_however_many_tasks_have_made_them(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.range(1_000).select(F.col("id").alias("x")).repartition(16)
    with attempt_to_write(frame, tmp_path / "t", PLAIN) as attempt:
        assert (attempt.rows, len(attempt.files)) == (1_000, 1)
        commit(attempt)


def test_rows_that_were_written_and_cannot_be_seen_are_never_published(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    see = attempts.data_files
    monkeypatch.setattr(attempts, "data_files", lambda folder: see(folder)[1:])
    with (
        pytest.raises(MovierateError, match=r"3 rows were written, and [0-2] lie there"),
        attempt_to_write(spark.createDataFrame([(1,), (2,), (3,)], PLAIN), tmp_path / "t", PLAIN),
    ):
        pytest.fail("it went on")
    assert not (tmp_path / "t").exists()


def test_a_failed_attempt_at_a_new_table_leaves_nothing(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([(1, FIRST)], DATED)
    with (
        pytest.raises(OSError, match="disk full"),
        attempt_to_write(frame, tmp_path / "a" / "b", DATED, run_date=FIRST),
    ):
        raise OSError("disk full")
    assert not (tmp_path / "a").exists()


def test_the_first_error_is_heard_and_files_stay_where_the_table_cannot_be_opened_again(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = spark.createDataFrame([(1,)], PLAIN)

    def unreadable(_path: Path) -> list[Path]:
        raise OSError("Stale file handle")

    def interrupted() -> None:
        with attempt_to_write(rows, tmp_path / "t", PLAIN):
            monkeypatch.setattr(attempts, "log_entries", unreadable)
            raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        interrupted()
    assert list(tmp_path.rglob("*.parquet"))
