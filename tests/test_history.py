from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from chispa import assert_df_equality
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.features.history import with_history

DAY = 86_400
TIMELINE = "user_id long, movie_id long, second long, rating double"


def timeline(spark: SparkSession, rows: list[tuple[int, int, int, float | None]]) -> DataFrame:
    frame = spark.createDataFrame(rows, TIMELINE)
    return frame.select("user_id", "movie_id", F.timestamp_seconds("second").alias("at"), "rating")


def history(frame: DataFrame) -> DataFrame:
    return with_history(frame, threshold=4.0, shrinkage_user=1.0, shrinkage_movie=2.0)


def test_a_rating_never_sees_its_own_second_nor_a_later_one(spark: SparkSession) -> None:
    rows = [(1, 10, 100, 5.0), (1, 20, 200, 1.0), (1, 30, 200, 3.0), (1, 10, 300, 2.0)]
    actual = history(timeline(spark, rows)).sort("at", "movie_id")
    assert [row["user_count"] for row in actual.collect()] == [0, 1, 1, 3]
    assert [row["movie_count"] for row in actual.collect()] == [0, 0, 0, 1]


def test_a_request_is_given_history_and_adds_nothing_to_it(spark: SparkSession) -> None:
    rows = [(1, 10, 100, 5.0), (1, 20, 150, None), (1, 20, 200, 3.0)]
    actual = history(timeline(spark, rows)).sort("at")
    assert [(row["user_count"], row["movie_count"]) for row in actual.collect()] == [(0, 0), (1, 0), (1, 0)]


def test_means_are_drawn_towards_those_of_all_earlier_days(spark: SparkSession) -> None:
    rows = [(1, 10, 0, 5.0), (2, 20, 10, 2.0), (1, 10, DAY, None), (3, 30, DAY, None)]
    first, second, known, new = history(timeline(spark, rows)).sort("at", "user_id").collect()
    # Nothing is known on the first day: a rating at the threshold, liked or not alike.
    assert (first["prior_mean"], first["prior_like_rate"]) == (4.0, 0.5)
    assert (first["user_mean"], second["movie_like_rate"]) == (4.0, 0.5)
    # Then two ratings, one liked: prior mean 3.5, prior like rate (1 + 1) / (2 + 2).
    assert (new["prior_mean"], new["prior_like_rate"]) == (3.5, 0.5)
    assert (new["user_mean"], new["movie_mean"]) == (3.5, 3.5)
    assert known["user_mean"] == pytest.approx((5.0 + 1.0 * 3.5) / 2)
    assert known["movie_mean"] == pytest.approx((5.0 + 2.0 * 3.5) / 3)
    assert known["user_like_rate"] == pytest.approx((1 + 1.0 * 0.5) / 2)


rating = st.tuples(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 6).map(lambda n: n * DAY // 3),
    st.sampled_from([1.0, 3.5, 5.0]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(rating, min_size=1, max_size=25), cut=st.integers(0, 6), relabel=st.booleans())
def test_features_before_a_cut_do_not_change_when_the_future_does(
    spark: SparkSession, rows: list[tuple[int, int, int, float]], cut: int, relabel: bool
) -> None:
    cut_second = cut * DAY // 3
    numbered = [(user, movie, second, stars) for user, movie, second, stars in rows]
    past = [row for row in numbered if row[2] < cut_second]
    future = [row for row in numbered if row[2] >= cut_second]
    changed = [(u, m, s, 6.0 - stars) for u, m, s, stars in reversed(future)] if relabel else []
    at_cut = datetime.fromtimestamp(cut_second, UTC)

    def before_the_cut(given_rows: list[tuple[int, int, int, float]]) -> list[tuple[object, ...]]:
        if not given_rows:
            return []
        frame = history(timeline(spark, given_rows)).where(F.col("at") < F.lit(at_cut))
        return sorted(tuple(row) for row in frame.collect())

    assert before_the_cut(past + future) == before_the_cut(past + changed)


def test_history_is_the_same_at_any_partitioning(spark: SparkSession) -> None:
    rows = [
        (u, (u * m) % 7, (u * 31 + m * 17) % 9 * DAY // 2, float(1 + (u + m) % 5))
        for u in range(12)
        for m in range(9)
    ]
    expected = history(timeline(spark, rows))
    for partitions in (1, 4, 8):
        shuffled = timeline(spark, rows[::-1]).repartition(partitions)
        assert_df_equality(history(shuffled), expected, ignore_row_order=True)


def test_a_day_without_ratings_still_has_a_prior(spark: SparkSession) -> None:
    later = timedelta(days=3).total_seconds()
    rows = [(1, 10, 0, 4.0), (2, 20, int(later), None)]
    assert [row["prior_mean"] for row in history(timeline(spark, rows)).sort("at").collect()] == [4.0, 4.0]
