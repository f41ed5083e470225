from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from timelines import DAY, GENRES, Row, options, rows_by_user, timeline

from movierate_spark.features.events import added, counts_from
from movierate_spark.features.factors import RANK, first_vectors
from movierate_spark.features.history import (
    layouts,
    tastes_as_of,
    with_priors,
    with_user_history,
)
from movierate_spark.features.neighbours import neighbours
from movierate_spark.features.segments import ORDINARY, in_segments, layout
from movierate_spark.features.task_columns import GENRE_LIST
from movierate_spark.features.task_history import MOVIE_COLUMNS, USER_COLUMNS, movie_history, user_history
from movierate_spark.features.taste_tables import BlockTables, broadcast_tables, with_unknown


def history(frame: DataFrame, **changes: float) -> DataFrame:
    chosen = options(**changes)
    # The plan of a heavy key's segments has many copies of its input's: here they are planned only once.
    rows = with_priors(frame, min_rating=4.0).localCheckpoint()
    return with_user_history(rows_by_user(rows, chosen), chosen, min_rating=4.0).drop("residual")


def test_a_rating_never_sees_its_own_second_nor_a_later_one(spark: SparkSession) -> None:
    rows: list[Row] = [(1, 10, 100, 5.0), (1, 20, 200, 1.0), (1, 30, 200, 3.0), (1, 10, 300, 2.0)]
    actual = history(timeline(spark, rows)).sort("at", "movie_id").collect()
    assert [row["user_count"] for row in actual] == [0, 1, 1, 3]
    assert [row["movie_count"] for row in actual] == [0, 0, 0, 1]


def test_a_re_rating_replaces_the_earlier_rating_from_its_own_second_on(spark: SparkSession) -> None:
    # All on the first day: the prior is 4.0, and movie 1's mean is (sum + 2 * 4.0) / (count + 2).
    rows: list[Row] = [(1, 1, 100, 5.0), (1, 3, 150, None), (1, 1, 200, 2.0), (1, 3, 200, None)]
    rows += [(2, 1, 201, None), (1, 3, 201, None), (1, 1, 300, 2.0), (1, 3, 301, None)]
    actual = history(timeline(spark, rows)).sort("at", "movie_id").collect()
    first, before, again, at_once, of_movie, after, third, last = actual
    assert [row["user_count"] for row in actual] == [0, 1, 1, 1, 0, 1, 1, 1]
    assert (first["movie_count"], again["movie_count"], third["movie_count"]) == (0, 1, 1)
    assert (again["movie_mean"], of_movie["movie_mean"]) == ((5.0 + 8.0) / 3, (2.0 + 8.0) / 3)
    assert before["user_like_rate"] == at_once["user_like_rate"] == (1 + 0.5) / 2
    assert after["user_like_rate"] == (0 + 0.5) / 2
    level = {5.0: 5.0 - 4.0, 2.0: 2.0 - (5.0 + 8.0) / 3}
    assert (before["user_residual"], at_once["user_residual"]) == (level[5.0] / 2, level[5.0] / 2)
    assert after["user_residual"] == after["user_recent_5"] == pytest.approx(level[2.0] / 2, abs=1e-6)
    assert last["user_residual"] == last["user_recent_5"] == pytest.approx((2.0 - 10.0 / 3) / 2, abs=1e-6)


def test_a_request_gets_history_and_adds_nothing_to_it(spark: SparkSession) -> None:
    rows: list[Row] = [(1, 10, 100, 5.0), (1, 20, 150, None), (1, 20, 200, 3.0)]
    actual = history(timeline(spark, rows)).sort("at").collect()
    assert [(row["user_count"], row["movie_count"]) for row in actual] == [(0, 0), (1, 0), (1, 0)]


def test_means_are_shrunk_towards_those_of_all_earlier_days(spark: SparkSession) -> None:
    rows: list[Row] = [(1, 10, 0, 5.0), (2, 20, 10, 2.0), (1, 10, DAY, None), (3, 30, DAY, None)]
    first, second, known, new = history(timeline(spark, rows)).sort("at", "user_id").collect()
    # Nothing is known on the first day: a rating of just ``min_rating``, liked or not alike.
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


def test_group_columns_are_ratings_by_similar_users_above_the_movies_mean(spark: SparkSession) -> None:
    rows: list[Row] = [(1, 1, 0, 5.0), (2, 1, 10, 1.0), (3, 1, 20, None), (4, 1, 20, None), (0, 1, 20, None)]
    unknown, odd, even = history(timeline(spark, rows)).where("rating is null").sort("user_id").collect()
    mean = (6.0 + 2.0 * 4.0) / 4
    assert odd["gender_movie"] == pytest.approx((5.0 - mean) / 2)
    assert even["gender_movie"] == pytest.approx((1.0 - mean) / 2)
    assert unknown["gender_movie"] == unknown["occupation_movie"] == 0.0


# ---- the same, written as Spark windows ---------------------------------------------------------


def beyond_the_replaced(value: Column) -> Column:
    """What a rating's value has beyond that of the rating in whose place it stands."""
    pair = Window.partitionBy("user_id", "movie_id").orderBy(F.unix_seconds("at"))
    known = F.when(F.col("rating").isNotNull(), value)
    replaced = F.last(known, ignorenulls=True).over(pair.rangeBetween(Window.unboundedPreceding, -1))
    return F.coalesce(known - F.coalesce(replaced, F.lit(0.0)), F.lit(0.0))


def sum_before(value: Column, *keys: str | Column) -> Column:
    window = Window.partitionBy(*keys).orderBy(F.unix_seconds("at"))
    return F.coalesce(F.sum(value).over(window.rangeBetween(Window.unboundedPreceding, -1)), F.lit(0.0))


def by_windows(frame: DataFrame) -> DataFrame:
    """What history() should give but for recent and genre, in doubles: slow, and plain to read."""
    with_values = (
        with_priors(frame, min_rating=4.0)
        .where("withdrawn_at is null")
        .withColumns(
            {
                "n": beyond_the_replaced(F.lit(1.0)),
                "stars": beyond_the_replaced(F.col("rating")),
                "like": beyond_the_replaced((F.col("rating") >= 4.0).cast("double")),
            }
        )
    )
    n, rating, like = F.col("n"), F.col("stars"), F.col("like")
    count = F.col("movie_count")
    movie = with_values.withColumns(
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
    above = F.col("rating") - F.col("movie_mean")
    decade = F.floor(F.col("year") / 10)
    user = movie.withColumn("residual", beyond_the_replaced(above)).withColumns(
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


def test_history_equals_that_of_spark_windows(spark: SparkSession) -> None:
    rows: list[Row] = [
        (u, m, (u * 31 + m * 17 + again * 5) % 11 * DAY // 3, stars)
        for u in range(10)
        for m in range(9)
        for again in range(1 + (u + m) % 3)
        for stars in [None if (u + m + again) % 6 == 0 else float(1 + (u * m + again) % 5)]
    ]
    names = [
        *("movie_count", "movie_mean", "movie_like_rate", "gender_movie", "age_group_movie"),
        *("occupation_movie", "user_count", "user_mean", "user_like_rate", "user_residual", "user_decade"),
    ]
    frame = timeline(spark, rows)
    order = ["user_id", "movie_id", "at"]
    actual = history(frame).sort(order).select(names).collect()
    expected = by_windows(frame).sort(order).select(names).collect()
    for row, twin in zip(actual, expected, strict=True):
        assert tuple(row) == pytest.approx(tuple(twin), abs=1e-5)


# ---- nothing leaks, and nothing depends on how rows are laid out --------------------------------

rating = st.tuples(
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, 6).map(lambda n: n * DAY // 3),
    st.sampled_from([1.0, 3.5, 5.0]),
)


def test_features_before_a_cut_do_not_change_when_the_future_does(spark: SparkSession) -> None:
    draw = random.Random(6)
    places = [(user, movie, n * DAY // 3) for user in range(4) for movie in range(5) for n in range(7)]
    rows: list[Row] = [(*place, draw.choice((1.0, 3.5, 5.0))) for place in draw.sample(places, 50)]
    cut = 4 * DAY // 3
    past = [row for row in rows if row[2] < cut]
    future = [row for row in rows if row[2] >= cut]
    relabelled: list[Row] = [(u, m, s, 6.0 - (stars or 0)) for u, m, s, stars in reversed(future)]
    at_cut = datetime.fromtimestamp(cut, UTC)

    def before_the_cut(given_rows: list[Row], *, max_rows: int) -> list[str]:
        frame = history(timeline(spark, given_rows), task_max_rows=max_rows)
        return sorted(map(str, frame.where(F.col("at") < F.lit(at_cut)).collect()))

    texts = before_the_cut(past + future, max_rows=1_000)
    assert min(len(texts), len(future)) >= 15
    assert before_the_cut(past, max_rows=1_000) == texts
    assert before_the_cut(past + relabelled, max_rows=3) == texts


def described(rows: list[Row]) -> list[dict[str, object]]:
    """Ratings and requests in their order, then the withdrawals: what events() makes of them, in Python."""
    ratings, withdrawals = [], []
    for user, movie, second, stars in rows:
        before = max(
            ((s, r) for u, m, s, r in rows if (u, m) == (user, movie) and s < second and r), default=None
        )
        replaced = before[1] if before and stars else None
        event = {"user_id": user, "movie_id": movie, "at": second, "rating": stars}
        ratings.append({**event, "replaced": replaced, "withdrawn_at": None})
        if before and stars:
            taken = {"at": before[0], "rating": before[1], "replaced": None, "withdrawn_at": second}
            withdrawals.append({**event, **taken})
    return ratings + withdrawals


def in_one_task(rows: list[Row]) -> dict[str, list[float]]:
    """The two passes over rows of one task, without Spark, with fixed priors."""
    events_ = pa.Table.from_pylist(described(rows)).to_pydict()
    user, movie = events_["user_id"], events_["movie_id"]
    table = pa.table(
        {
            "user_id": user,
            "movie_id": movie,
            **{name: pa.array(events_[name], pa.timestamp("s")) for name in ("at", "withdrawn_at")},
            **{name: pa.array(events_[name], pa.float64()) for name in ("rating", "replaced")},
            "gender": pa.array(["FM"[u % 2] if u else None for u in user], pa.string()),
            "age_group": pa.array([str(u % 3) for u in user]),
            "occupation": pa.array([str(u) for u in user]),
            "year": pa.array([1950 + m * 7 for m in movie], pa.int32()),
            GENRE_LIST: pa.array([json.dumps(GENRES[m % 5]) for m in movie]),
            "prior_mean": [3.5] * len(user),
            "prior_like_rate": [0.5] * len(user),
        }
    )
    result = {}
    for task in (movie_history, user_history):
        columns = task(table, options(), 4.0)
        result |= columns
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
    return {name: values[: len(rows)].tolist() for name, values in result.items() if name != "residual"}


# Two users and many movies, so that the last five ratings begin within a second.
busy_rating = st.tuples(
    st.integers(1, 2), st.integers(0, 15), rating.map(lambda row: row[2]), rating.map(lambda row: row[3])
)
# Of one user, movie and second there is one rating; of one user and movie there may be several.
logs = st.lists(rating | busy_rating, min_size=1, max_size=40, unique_by=lambda row: row[:3])


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
    blind: list[Row] = [(u, m, s, stars if s == last else label) for u, m, s, label in rows]
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
    values = {
        tuple(
            history(timeline(spark, [*before, (1, 2, DAY, label)])).sort("at").select(columns).collect()[-1]
        )
        for label in (None, 1.0, 5.0)
    }
    assert len(values) == 1


def many_ratings() -> list[Row]:
    """Half of all ratings are of movie 2, half of user 1's come in one second, many are rated again.

    And many ask for movie 2 in one second.
    """
    busy = [(u, 2, u % 7 * DAY // 4, float(1 + u % 5)) for u in range(6, 66)]
    return [
        *busy,
        *(
            (u, m, (u * 13 + m * 7) % 9 * DAY // 3, float(1 + (u + m) % 5))
            for u in range(6)
            for m in range(9)
        ),
        *((1, m, DAY, float(1 + m % 5)) for m in range(10, 30)),
        *((u, 2, (u % 7 + 3) * DAY // 4, float(1 + u % 4)) for u in range(6, 66, 3)),
        *((1, m, DAY + m * 9_000, float(5 - m % 5)) for m in range(2, 30, 2)),
        *((u, 2, 3 * DAY, None) for u in range(100, 130)),
    ]


def test_history_is_the_same_at_any_partitioning(spark: SparkSession) -> None:
    order = ["user_id", "movie_id", "at"]
    expected = history(timeline(spark, many_ratings())).sort(order).collect()
    for partitions in (1, 4, 8):
        shuffled = timeline(spark, many_ratings()[::-1]).repartition(partitions)
        assert history(shuffled).sort(order).collect() == expected


def test_splitting_a_heavy_user_or_movie_does_not_change_its_features(spark: SparkSession) -> None:
    frame = timeline(spark, many_ratings())
    expected = history(frame).sort("user_id", "movie_id", "at").collect()
    assert history(frame, task_max_rows=8).sort("user_id", "movie_id", "at").collect() == expected


def tastes(spark: SparkSession, at: int, **changes: float) -> dict[int, tuple[object, ...]]:
    """By user: the movies and residuals of the last seven ratings before ``at``, and the vector."""
    chosen = options(history_max=7, **changes)
    movies = np.arange(0, 30, 3)
    vectors = with_unknown(first_vectors(movies) * 5)
    table = neighbours(*(np.zeros(0, int),) * 3, movies=len(movies), kept=1)
    blocks = [(1, BlockTables(table, vectors))]
    tables = broadcast_tables(spark, movies, [None] * 10, np.array([DAY]), blocks)
    requests: list[Row] = [(user, movie, at, None) for user in range(8) for movie in (-1, -2)]
    frame = with_priors(timeline(spark, [*many_ratings(), *requests]), min_rating=4.0).localCheckpoint()
    rows = rows_by_user(frame, chosen)
    records = tastes_as_of(rows, chosen, tables, at=datetime.fromtimestamp(at, UTC), movie_id=-1).collect()
    assert len({row["user_id"] for row in records}) == len(records)
    return {user: tuple(rest) for user, *rest in records}


def test_tastes_are_of_the_last_ratings_of_earlier_seconds_also_if_a_users_rows_are_split(
    spark: SparkSession,
) -> None:
    at = DAY + 14 * 9_000
    result = tastes(spark, at)
    rated = sorted((u, second, m) for u, m, second, stars in many_ratings() if stars and second < at)
    for user in range(8):
        latest = {m: second for u, second, m in rated if u == user}
        last = sorted((second, m) for m, second in latest.items())[-7:]
        movies, residuals, vector = result.pop(user)
        assert movies == [m // 3 for _, m in last if m % 3 == 0]
        assert (len(residuals), len(vector), any(vector)) == (len(movies), RANK, bool(movies))
    assert not result
    assert tastes(spark, at, task_max_rows=8) == tastes(spark, at)
    assert tastes(spark, DAY - 1) == {}


def largest_task(frame: DataFrame, key: str, **changes: float) -> tuple[int, int]:
    """How many tasks there are, and the rows of the largest, summary rows aside."""
    laid = layouts(frame, options(**changes))[key]
    second = {"movie_id": F.unix_seconds("at"), "user_id": counts_from()}[key]
    placed = laid.spread(in_segments(frame, laid, second=second, sums=added(4.0)))
    if "kind" in placed.columns:
        placed = placed.where(F.col("kind") == ORDINARY)
    assert placed.count() == frame.count()
    sizes = placed.groupBy(F.spark_partition_id()).count()
    return laid.tasks, sizes.agg(F.max("count")).collect()[0][0]


@pytest.mark.usefixtures("compiled")
def test_no_task_exceeds_its_rows_if_all_requests_are_for_one_movie(spark: SparkSession) -> None:
    ratings: list[Row] = [(u, 2, u * 3600, 4.0) for u in range(1, 300)]
    ratings += [(u, m, u, 3.0) for u in range(1, 40) for m in range(3, 40)]
    frame = timeline(spark, ratings)
    midnight = F.timestamp_seconds(F.lit(10 * DAY))
    requests = spark.range(1, 4_001).select(
        F.col("id").alias("user_id"), F.lit(2).cast("long").alias("movie_id")
    )
    requests = requests.withColumn("at", midnight)
    whole = frame.unionByName(requests, allowMissingColumns=True)
    tasks, largest = largest_task(whole, "movie_id", task_max_rows=200)
    assert (tasks <= 60, largest <= 200) == (True, True)
    tasks, largest = largest_task(whole, "user_id", task_max_rows=200)
    assert (tasks <= 40, largest <= 200) == (True, True)


@pytest.mark.usefixtures("compiled")
def test_keys_are_packed_into_tasks_by_their_size(spark: SparkSession) -> None:
    movies = F.explode(F.sequence(F.lit(1).cast("long"), F.col("id") % 40)).alias("movie_id")
    pairs = spark.range(2_000).select(F.col("id").alias("user_id"), movies)
    frame = pairs.withColumn("second", F.lit(5))
    laid = layout(frame, "user_id", max_rows=1_000)
    spread = laid.spread(in_segments(frame, laid, second=F.col("second"), sums={"n": F.lit(1)}))
    placed = spread.withColumn("task", F.spark_partition_id())
    sizes = [row["count"] for row in placed.groupBy("task").count().collect()]
    assert (sum(sizes), max(sizes) <= 1_000) == (frame.count(), True)
    assert len(sizes) <= sum(sizes) / 1_000 * 1.1 + 1
    tasks_of_user = placed.groupBy("user_id").agg(F.count_distinct("task").alias("tasks"))
    assert tasks_of_user.where("tasks > 1").isEmpty()


def test_a_segment_of_a_heavy_key_begins_after_half_a_task(spark: SparkSession) -> None:
    rows: list[Row] = [(u, 2, u * 3600, 4.0) for u in range(100)] + [(u, 3, u, 4.0) for u in range(10)]
    laid = layouts(timeline(spark, rows), options(task_max_rows=20))
    assert laid["user_id"].heavy is None
    assert laid["movie_id"].heavy is not None
    units = laid["movie_id"].heavy.units.sort("segment").collect()
    assert [(row["movie_id"], row["segment"], row["part"]) for row in units] == [(2, i, 0) for i in range(10)]
    assert laid["movie_id"].tasks == 6
