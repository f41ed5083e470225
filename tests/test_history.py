from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from movierate_spark.config import FeatureSettings, load_settings
from movierate_spark.features.history import (
    MOVIE_COLUMNS,
    USER_COLUMNS,
    layouts,
    movie_history,
    user_history,
    with_history,
    with_priors,
)

DAY = 86_400
ROWS = (
    "user_id long, movie_id long, second long, rating double,"
    " gender string, age_group string, occupation string, year int, genres array<string>"
)
GENRES = {0: [], 1: ["Drama"], 2: ["Comedy"], 3: ["Comedy", "Drama"], 4: ["Drama", "War", "Comedy"]}
Row = tuple[int, int, int, float | None]


def options(**changes: float) -> FeatureSettings:
    simple = {"shrinkage_user": 1.0, "shrinkage_movie": 2.0, "shrinkage_taste": 1.0, "shrinkage_group": 1.0}
    return load_settings().features.model_copy(update={**simple, **changes})


def timeline(spark: SparkSession, rows: list[Row]) -> DataFrame:
    """Ratings and requests, with attributes that follow from the ids (those of 0 are unknown)."""
    described = [
        (
            user,
            movie,
            second,
            rating,
            "FM"[user % 2] if user else None,
            ["18-24", "25-34", "35-44"][user % 3] if user else None,
            f"job {user % 2}" if user else None,
            1950 + movie * 7 if movie else None,
            GENRES[movie % 5],
        )
        for user, movie, second, rating in rows
    ]
    frame = spark.createDataFrame(described, ROWS)
    return frame.withColumn("at", F.timestamp_seconds("second")).drop("second")


def history(frame: DataFrame, **changes: float) -> DataFrame:
    chosen = options(**changes)
    laid = layouts(frame, chosen)
    return with_history(with_priors(frame, threshold=4.0), laid, chosen, threshold=4.0)


def test_a_rating_never_sees_its_own_second_nor_a_later_one(spark: SparkSession) -> None:
    rows: list[Row] = [(1, 10, 100, 5.0), (1, 20, 200, 1.0), (1, 30, 200, 3.0), (1, 10, 300, 2.0)]
    actual = history(timeline(spark, rows)).sort("at", "movie_id").collect()
    assert [row["user_count"] for row in actual] == [0, 1, 1, 3]
    assert [row["movie_count"] for row in actual] == [0, 0, 0, 1]


def test_a_request_is_given_history_and_adds_nothing_to_it(spark: SparkSession) -> None:
    rows: list[Row] = [(1, 10, 100, 5.0), (1, 20, 150, None), (1, 20, 200, 3.0)]
    actual = history(timeline(spark, rows)).sort("at").collect()
    assert [(row["user_count"], row["movie_count"]) for row in actual] == [(0, 0), (1, 0), (1, 0)]


def test_means_are_drawn_towards_those_of_all_earlier_days(spark: SparkSession) -> None:
    rows: list[Row] = [(1, 10, 0, 5.0), (2, 20, 10, 2.0), (1, 10, DAY, None), (3, 30, DAY, None)]
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


def test_a_day_without_ratings_still_has_a_prior(spark: SparkSession) -> None:
    later = timedelta(days=3).total_seconds()
    rows: list[Row] = [(1, 10, 0, 4.0), (2, 20, int(later), None)]
    assert [row["prior_mean"] for row in history(timeline(spark, rows)).sort("at").collect()] == [4.0, 4.0]


def test_residuals_are_stars_above_the_movies_mean_at_that_time(spark: SparkSession) -> None:
    # All on the first day: the prior is 4.0. Movie 1 has a 1.0 when user 1 gives it 5.0.
    rows: list[Row] = [(9, 1, 0, 1.0), (1, 1, 10, 5.0), (9, 1, 20, 1.0), (1, 3, 30, None)]
    row = history(timeline(spark, rows)).sort("at").collect()[-1]
    above = 5.0 - (1.0 + 2.0 * 4.0) / 3
    assert row["user_residual"] == pytest.approx(above / 2, abs=1e-6)
    assert row["user_recent_5"] == pytest.approx(above / 2, abs=1e-6)
    # Movie 3 is Comedy and Drama, movie 1 Drama only; his level among dramas lies above his own.
    drama = (above - above / 2) / 2
    assert row["user_genre"] == pytest.approx((0.0 + drama) / 2, abs=1e-6)


def test_people_like_the_user_lift_a_movie_above_its_mean(spark: SparkSession) -> None:
    rows: list[Row] = [(1, 1, 0, 5.0), (2, 1, 10, 1.0), (3, 1, 20, None), (4, 1, 20, None), (0, 1, 20, None)]
    unknown, odd, even = history(timeline(spark, rows)).where("rating is null").sort("user_id").collect()
    mean = (6.0 + 2.0 * 4.0) / 4
    assert odd["gender_movie"] == pytest.approx((5.0 - mean) / 2)
    assert even["gender_movie"] == pytest.approx((1.0 - mean) / 2)
    assert unknown["gender_movie"] == unknown["occupation_movie"] == 0.0


# ---- the same, written as Spark windows ---------------------------------------------------------


def sum_before(value: Column, *keys: str | Column) -> Column:
    window = Window.partitionBy(*keys).orderBy(F.unix_seconds("at"))
    return F.coalesce(F.sum(value).over(window.rangeBetween(Window.unboundedPreceding, -1)), F.lit(0.0))


def by_windows(frame: DataFrame) -> DataFrame:
    """What history() should give but for recent and genre, in doubles: slow, and plain to read."""
    n, rating = F.col("rating").isNotNull().cast("double"), F.coalesce("rating", F.lit(0.0))
    like = F.coalesce((F.col("rating") >= 4.0).cast("double"), F.lit(0.0))
    count = F.col("movie_count")
    movie = with_priors(frame, threshold=4.0).withColumns(
        {
            "movie_count": sum_before(n, "movie_id"),
            "movie_stars": sum_before(rating, "movie_id"),
            "movie_likes": sum_before(like, "movie_id"),
        }
    )
    movie = movie.withColumns(
        {
            "movie_mean": (F.col("movie_stars") + 2 * F.col("prior_mean")) / (count + 2),
            "movie_like_rate": (F.col("movie_likes") + 2 * F.col("prior_like_rate")) / (count + 2),
        }
    )
    for group in ("gender", "age_group", "occupation"):
        stars, people = (sum_before(x, "movie_id", group) for x in (rating, n))
        above = (stars - people * F.col("movie_mean")) / (people + 1)
        movie = movie.withColumn(
            f"{group}_movie", F.when(F.col(group).isNotNull(), above).otherwise(F.lit(0.0))
        )
    residual = F.when(F.col("rating").isNotNull(), rating - F.col("movie_mean")).otherwise(F.lit(0.0))
    decade = F.floor(F.col("year") / 10)
    user = movie.withColumn("residual", residual).withColumns(
        {
            "user_count": sum_before(n, "user_id"),
            "user_mean": (sum_before(rating, "user_id") + F.col("prior_mean"))
            / (sum_before(n, "user_id") + 1),
            "user_like_rate": (sum_before(like, "user_id") + F.col("prior_like_rate"))
            / (sum_before(n, "user_id") + 1),
            "user_residual": sum_before(F.col("residual"), "user_id") / (sum_before(n, "user_id") + 1),
            "in_decade": sum_before(F.col("residual"), "user_id", decade),
            "n_decade": sum_before(n, "user_id", decade),
        }
    )
    taste = (F.col("in_decade") - F.col("n_decade") * F.col("user_residual")) / (F.col("n_decade") + 1)
    return user.withColumn("user_decade", F.when(F.col("year").isNotNull(), taste).otherwise(F.lit(0.0)))


def test_history_is_what_spark_windows_say(spark: SparkSession) -> None:
    rows: list[Row] = [
        (u, m, (u * 31 + m * 17) % 11 * DAY // 3, None if (u + m) % 6 == 0 else float(1 + (u * m) % 5))
        for u in range(10)
        for m in range(9)
    ]
    names = [
        *("movie_count", "movie_mean", "movie_like_rate", "gender_movie", "age_group_movie"),
        *("occupation_movie", "user_count", "user_mean", "user_like_rate", "user_residual", "user_decade"),
    ]
    frame = timeline(spark, rows)
    order = ["user_id", "movie_id", "at"]
    actual = history(frame).sort(order).select(names).collect()
    expected = by_windows(frame).sort(order).select(names).collect()
    for found, wanted in zip(actual, expected, strict=True):
        assert tuple(found) == pytest.approx(tuple(wanted), abs=1e-5)


# ---- nothing leaks, and nothing depends on how rows are laid out --------------------------------

rating = st.tuples(
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, 6).map(lambda n: n * DAY // 3),
    st.sampled_from([1.0, 3.5, 5.0]),
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(rating, min_size=1, max_size=25, unique_by=lambda row: row[:2]),
    cut=st.integers(0, 6),
    relabel=st.booleans(),
    max_rows=st.sampled_from([3, 1000]),
)
def test_features_before_a_cut_do_not_change_when_the_future_does(
    spark: SparkSession, rows: list[Row], cut: int, relabel: bool, max_rows: int
) -> None:
    cut_second = cut * DAY // 3
    past = [row for row in rows if row[2] < cut_second]
    future = [row for row in rows if row[2] >= cut_second]
    changed = [(u, m, s, 6.0 - (stars or 0)) for u, m, s, stars in reversed(future)] if relabel else []
    at_cut = datetime.fromtimestamp(cut_second, UTC)

    def before_the_cut(given_rows: list[Row]) -> list[str]:
        frame = history(timeline(spark, given_rows), task_max_rows=max_rows)
        return sorted(map(str, frame.where(F.col("at") < F.lit(at_cut)).collect()))

    assert before_the_cut(past + future) == before_the_cut(past + changed)


def in_one_task(rows: list[Row]) -> dict[str, list[float]]:
    """The two passes over rows of one task, without Spark, with fixed priors."""
    user, movie, second, stars = (list(values) for values in zip(*rows, strict=True))
    table = pa.table(
        {
            "user_id": user,
            "movie_id": movie,
            "second": second,
            "n": [int(value is not None) for value in stars],
            "tenths": [int(10 * (value or 0)) for value in stars],
            "likes": [int((value or 0) >= 4) for value in stars],
            "gender": pa.array(["FM"[u % 2] if u else None for u in user], pa.string()),
            "age_group": pa.array([str(u % 3) for u in user]),
            "occupation": pa.array([str(u) for u in user]),
            "year": pa.array([1950 + m * 7 for m in movie], pa.int32()),
            "genres": pa.array([GENRES[m % 5] for m in movie], pa.list_(pa.string())),
            "prior_mean": [3.5] * len(rows),
            "prior_like_rate": [0.5] * len(rows),
            "block": [0] * len(rows),
            "kind": [0] * len(rows),
        }
    )
    found = {}
    for task in (movie_history, user_history):
        columns = task(table, options())
        found |= columns
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
    return {name: values.tolist() for name, values in found.items() if name != "residual"}


# Two users and many movies, so that the last five ratings begin within a second.
busy_rating = st.tuples(
    st.integers(1, 2), st.integers(0, 15), rating.map(lambda row: row[2]), rating.map(lambda row: row[3])
)
logs = st.lists(rating | busy_rating, min_size=1, max_size=40, unique_by=lambda row: row[:2])


@settings(max_examples=200, deadline=None)
@given(rows=logs, cut=st.integers(0, 6), seed=st.randoms(use_true_random=False))
def test_no_column_sees_the_future(rows: list[Row], cut: int, seed: random.Random) -> None:
    past = [row for row in rows if row[2] < cut * DAY // 3]
    future = [row for row in rows if row[2] >= cut * DAY // 3]
    if not past:
        return
    relabelled: list[Row] = [(u, m, s, 6.0 - (stars or 0)) for u, m, s, stars in future]
    seed.shuffle(relabelled)
    alone = in_one_task(past)
    for changed in (past + future, past + relabelled):
        whole = in_one_task(changed)
        assert {name: values[: len(past)] for name, values in whole.items()} == alone


@settings(max_examples=100, deadline=None)
@given(rows=logs, stars=st.sampled_from([None, 1.0, 4.5]))
def test_no_column_reads_its_own_label_nor_that_of_its_second(rows: list[Row], stars: float | None) -> None:
    last = max(row[2] for row in rows)
    blind: list[Row] = [(u, m, s, stars if s == last else given) for u, m, s, given in rows]
    assert in_one_task(blind) == in_one_task(rows)


@settings(max_examples=100, deadline=None)
@given(rows=logs, seed=st.randoms(use_true_random=False))
def test_no_column_depends_on_the_order_of_rows(rows: list[Row], seed: random.Random) -> None:
    order = list(range(len(rows)))
    seed.shuffle(order)
    expected = {name: [values[i] for i in order] for name, values in in_one_task(rows).items()}
    assert in_one_task([rows[i] for i in order]) == expected


def test_a_rows_own_label_is_not_read(spark: SparkSession) -> None:
    before: list[Row] = [(1, 2, 0, 5.0), (2, 2, 10, 1.0), (1, 3, 20, 3.0)]
    columns = [*MOVIE_COLUMNS, *USER_COLUMNS]
    found = {
        tuple(
            history(timeline(spark, [*before, (1, 2, DAY, label)])).sort("at").select(columns).collect()[-1]
        )
        for label in (None, 1.0, 5.0)
    }
    assert len(found) == 1


def many_ratings() -> list[Row]:
    """Half of all ratings are of movie 2, half of user 1's come in one second."""
    busy = [(u, 2, u % 7 * DAY // 4, float(1 + u % 5)) for u in range(6, 66)]
    return [
        *busy,
        *(
            (u, m, (u * 13 + m * 7) % 9 * DAY // 3, float(1 + (u + m) % 5))
            for u in range(6)
            for m in range(9)
        ),
        *((1, m, DAY, float(1 + m % 5)) for m in range(10, 30)),
    ]


def test_history_is_the_same_at_any_partitioning(spark: SparkSession) -> None:
    order = ["user_id", "movie_id"]
    expected = history(timeline(spark, many_ratings())).sort(order).collect()
    for partitions in (1, 4, 8):
        shuffled = timeline(spark, many_ratings()[::-1]).repartition(partitions)
        assert history(shuffled).sort(order).collect() == expected


def test_a_heavy_user_or_movie_is_cut_by_time_without_a_trace(spark: SparkSession) -> None:
    frame = timeline(spark, many_ratings())
    expected = history(frame).sort("user_id", "movie_id", "at").collect()
    assert history(frame, task_max_rows=8).sort("user_id", "movie_id", "at").collect() == expected


def test_no_task_is_given_more_of_a_heavy_movie_than_its_share(spark: SparkSession) -> None:
    rows: list[Row] = [(u, 2, u * 3600, 4.0) for u in range(100)] + [(u, 3, u, 4.0) for u in range(10)]
    frame = timeline(spark, rows)
    laid = layouts(frame, options(task_max_rows=20))
    assert (laid["user_id"].hours, laid["user_id"].tasks) == (None, 6)
    assert laid["movie_id"].hours is not None
    blocks = laid["movie_id"].hours.groupBy("movie_id", "block").count().sort("block").collect()
    assert [(row["movie_id"], row["block"], row["count"]) for row in blocks] == [
        (2, block, 20) for block in range(5)
    ]
