from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

import movierate_spark as mr
from movierate_spark.features.rows import second_after_last
from movierate_spark.model.training_rows import training_log, training_rows
from movierate_spark.progress import Progress


def test_an_end_long_after_the_last_rating_changes_nothing_of_what_is_learnt(
    spark: SparkSession, home: Path, progress: Progress
) -> None:
    lake, settings = mr.open_lake(spark, home / "lake"), mr.load_settings([home / "settings.toml"])
    after_last = second_after_last(lake)

    def begins(end: datetime | None) -> list[int]:
        log = training_log(lake, end)
        assert (log.last, log.end) == (after_last - timedelta(seconds=1), end or after_last)
        with training_rows(lake, settings, progress, log=log) as rows:
            assert rows.tables is not None
            assert rows.tables.block_at(after_last) == len(rows.tables.blocks)
            return list(rows.tables.begins)

    assert begins(after_last + timedelta(days=900)) == begins(None)
