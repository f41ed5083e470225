from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.errors import InputError
from movierate_spark.model.time_split import TimeSplit, check_sample, row_seconds, split_by_time


def at_seconds(spark: SparkSession, seconds: list[int]) -> DataFrame:
    frame = spark.createDataFrame([(second,) for second in seconds], "second long")
    return frame.select(F.timestamp_seconds("second").alias("at"))


def test_the_last_tenth_is_test_and_the_tenth_before_it_tunes(spark: SparkSession) -> None:
    split = split_by_time(at_seconds(spark, list(range(100))), tune_fraction=0.1, test_fraction=0.1, folds=3)
    assert (split.folds, split.tune, split.test) == ((20, 40, 60), 80, 90)


def test_rows_of_the_same_second_stay_together(spark: SparkSession) -> None:
    seconds = [*range(85), *([85] * 10), *range(86, 91)]
    split = split_by_time(at_seconds(spark, seconds), tune_fraction=0.1, test_fraction=0.1, folds=2)
    assert split.test == 85
    assert split.tune == 80


def test_fold_parts_are_in_order_of_time(spark: SparkSession) -> None:
    rows = at_seconds(spark, list(range(100)))
    split = split_by_time(rows, tune_fraction=0.1, test_fraction=0.1, folds=3)
    parts = rows.withColumn("fold_part", split.fold_part(F.unix_seconds("at")))
    spans = (
        parts.groupBy("fold_part")
        .agg(F.min(F.unix_seconds("at")), F.max(F.unix_seconds("at")))
        .sort("fold_part")
    )
    assert [tuple(row) for row in spans.collect()] == [(0, 0, 19), (1, 20, 39), (2, 40, 59), (3, 60, 99)]


@pytest.mark.parametrize(
    ("seconds", "missing"),
    [
        ([20, 40, 60, 80, 90], "training rows of part 0 of the folds"),
        ([0, 20, 60, 80, 90], "training rows of part 2 of the folds"),
        ([0, 20, 40, 79, 90], "tuning rows"),
        ([0, 20, 40, 79, 80, 89], "test rows"),
        ([0, 20, 40, 79, 80, 90], None),
    ],
)
def test_a_sample_without_rows_of_a_part_is_refused_by_the_name_of_the_part(
    spark: SparkSession, seconds: list[int], missing: str | None
) -> None:
    rows, split = at_seconds(spark, seconds), TimeSplit((20, 40, 60), tune=80, test=90)
    if missing is None:
        check_sample(rows, split)
        return
    with pytest.raises(InputError, match=f"no {missing}: raise train.max_rows"):
        check_sample(rows, split)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seconds=st.lists(
        st.integers(-200_000, 400_000) | st.sampled_from([0, 86_399, 86_400]), min_size=1, max_size=40
    ),
    picks=st.lists(st.floats(0, 0.999), min_size=1, max_size=4),
)
def test_the_second_of_a_row_equals_that_of_a_plain_sort(
    spark: SparkSession, seconds: list[int], picks: list[float]
) -> None:
    positions = [int(len(seconds) * pick) for pick in picks]
    expected = [int(np.sort(seconds)[position]) for position in positions]
    assert row_seconds(at_seconds(spark, seconds), positions) == expected


def test_too_few_distinct_seconds_are_refused(spark: SparkSession) -> None:
    with pytest.raises(InputError, match="30 ratings in too few distinct seconds"):
        split_by_time(at_seconds(spark, [1, 2, 3] * 10), tune_fraction=0.1, test_fraction=0.1, folds=3)


def test_times_are_utc() -> None:
    from movierate_spark.times import utc

    assert utc(956_703_932) == datetime(2000, 4, 25, 23, 5, 32, tzinfo=UTC)
