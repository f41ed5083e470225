"""The history of a user and a movie as of each row, for training and scoring alike.

A *timeline* holds the events of :mod:`movierate_spark.features.events` and, for scoring, the requests:
``user_id``, ``movie_id``, ``at``, ``rating`` (null for a request), ``replaced``, ``withdrawn_at`` and the
attributes of users and movies. Every row gets totals over the ratings of strictly earlier seconds; of each
(user, movie) only the latest rating counts. Requests add nothing to the totals.

The rows are shuffled twice. The pass by movie also gives each rating its residual: its stars above the
movie's mean at that time. The pass by user sums the residuals up. Within a task, NumPy computes the sums over
a complete Arrow table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    IntegerType,
    LongType,
    StructField,
    StructType,
)

from movierate_spark.config import FeatureSettings
from movierate_spark.features.earlier import Earlier, Floats, Ints, Recent, earlier, shrunk
from movierate_spark.features.events import EVENT_COLUMNS, SUMS, added, counts_from
from movierate_spark.features.segments import (
    BEFORE_ALL,
    ORDINARY,
    PLACE,
    RECENT,
    TOTALS,
    Layout,
    in_segments,
    layout,
)
from movierate_spark.features.task_columns import (
    ROWS_PER_BATCH,
    Columns,
    add_columns,
    codes,
    complete,
    genres_of,
    groups,
    histories,
    integers,
    is_ordinary,
    known,
)
from movierate_spark.features.taste import SIMILAR_RATINGS, TASTE_COLUMNS, TaskRows, taste_history, tastes
from movierate_spark.features.taste_tables import TasteTables

GROUPS = ("gender", "age_group", "occupation")
RECENT_RATINGS = (5, 20, 50)
MOVIE_COLUMNS = (
    "movie_count",
    "movie_mean",
    "movie_like_rate",
    "movie_spread",
    *(f"{group}_movie" for group in GROUPS),
)
USER_COLUMNS = (
    "user_count",
    "user_mean",
    "user_like_rate",
    "user_spread",
    "user_residual",
    *(f"user_recent_{last}" for last in RECENT_RATINGS),
    "user_genre",
    "user_decade",
)
PRIOR_COLUMNS = ("prior_mean", "prior_like_rate")
COLUMNS = (*PRIOR_COLUMNS, *MOVIE_COLUMNS, *USER_COLUMNS)
TASTES = StructType(
    [
        StructField("user_id", LongType()),
        StructField("taste_movies", ArrayType(IntegerType())),
        StructField("taste_residuals", ArrayType(DoubleType())),
        StructField("taste_vector", ArrayType(DoubleType())),
    ]
)
DAILY_SUMS = SUMS[:3]
RESIDUAL_UNITS = 2**20  # of a star: whole numbers add up exactly
SPREAD_PRIOR, SPREAD_SHRINKAGE = 1.0, 10.0
"""The variance of ratings (squared stars) before any is known, and how many ratings it counts for."""

Layouts = Mapping[str, Layout]


@dataclass(frozen=True)
class Kept:
    """What :mod:`movierate_spark.features.state` knows of ratings that are not among the rows.

    ``movie_totals`` have movie_id, :data:`GROUPS` and the sums of :data:`SUMS`; the rows of a movie add up.
    ``events`` are those of the ``users`` (user_id) for whom rows are made, with ``residual``, ``genres`` and
    ``year``.
    """

    movie_totals: DataFrame
    users: DataFrame
    events: DataFrame


def daily_totals(timeline: DataFrame, *, min_rating: float) -> DataFrame:
    """The sums of :data:`DAILY_SUMS` of the ratings of each ``day`` (UTC)."""
    dated = timeline.withColumns({"day": F.to_date("at"), **added(min_rating)})
    return dated.groupBy("day").agg(*(F.sum(name).alias(name) for name in DAILY_SUMS))


def with_priors(timeline: DataFrame, *, min_rating: float, before: DataFrame | None = None) -> DataFrame:
    """Add :data:`PRIOR_COLUMNS`: mean rating and like rate of all ratings made before the row's day (UTC).

    On the first day there are no such ratings: the mean is ``min_rating`` and the like rate 0.5. ``before``
    are the daily totals of ratings that are not in the timeline.
    """
    totals = daily_totals(timeline, min_rating=min_rating)
    if before is not None:
        totals = totals.unionByName(before)
    by_day = totals.groupBy("day").agg(*(F.sum(name).alias(name) for name in DAILY_SUMS))
    earlier_days = Window.orderBy("day").rowsBetween(Window.unboundedPreceding, -1)
    n, tenths, likes = (F.sum(name).over(earlier_days) for name in DAILY_SUMS)
    # One like and one other rating more: a like rate of 0 or 1 would have no finite log odds.
    priors = by_day.select(
        "day",
        F.coalesce(tenths / (F.nullif(n, F.lit(0)) * 10), F.lit(float(min_rating))).alias("prior_mean"),
        F.coalesce((likes + 1) / (n + 2), F.lit(0.5)).alias("prior_like_rate"),
    )
    return timeline.withColumn("day", F.to_date("at")).join(F.broadcast(priors), "day").drop("day")


def layouts(timeline: DataFrame, settings: FeatureSettings, *, kept: Kept | None = None) -> Layouts:
    """How the rows are spread over tasks by movie and by user; both counts are Spark actions."""
    columns = ["user_id", "movie_id", "at", "withdrawn_at"]
    of_users = timeline.select(*columns)
    if kept is not None:
        of_users = _of_users(of_users, kept).unionByName(kept.events.select(*columns))
    return {
        "movie_id": movie_layout(timeline, settings, totals=kept.movie_totals if kept else None),
        "user_id": layout(
            of_users.select("user_id", "movie_id", counts_from().alias("second")),
            "user_id",
            max_rows=settings.task_max_rows,
        ),
    }


def movie_layout(
    timeline: DataFrame, settings: FeatureSettings, *, totals: DataFrame | None = None
) -> Layout:
    """How the rows, and those of ``totals``, are spread over tasks by movie; a Spark action."""
    rows = timeline.select("user_id", "movie_id", F.unix_seconds("at").alias("second"))
    if totals is not None:
        rows = rows.unionByName(_before_all(totals.select("movie_id")), allowMissingColumns=True)
    return layout(rows, "movie_id", max_rows=settings.task_max_rows)


def with_movie_columns(
    rows: DataFrame,
    tasks: Layout,
    settings: FeatureSettings,
    *,
    min_rating: float,
    totals: DataFrame | None = None,
) -> DataFrame:
    """Add :data:`MOVIE_COLUMNS`, ``residual`` and :data:`SUMS` to a timeline with priors and attributes.

    ``totals`` are the :attr:`Kept.movie_totals` of ratings that are not in the timeline. With them, it has
    ``known_residual``, which takes the residual's place where it is not null.
    """
    events = rows.withColumns({"second": F.unix_seconds("at"), **added(min_rating)})
    if totals is not None:
        events = events.unionByName(_before_all(totals), allowMissingColumns=True)
    by_movie = in_segments(events, tasks, within=GROUPS, sums=SUMS)
    with_movie = add_columns(
        tasks.spread(by_movie),
        partial(movie_history, settings=settings),
        [*MOVIE_COLUMNS, "residual"],
        keep=_has_time,
        without=(*PLACE, "second"),
    )
    if totals is None:
        return with_movie
    residual = F.coalesce("known_residual", "residual")
    return with_movie.withColumn("residual", residual).drop("known_residual")


def with_movie_history(
    rows: DataFrame,
    task_layouts: Layouts,
    settings: FeatureSettings,
    *,
    min_rating: float,
    kept: Kept | None = None,
) -> DataFrame:
    """Add :data:`MOVIE_COLUMNS` and ``residual`` to a timeline with priors and attributes.

    The rows, with those that carry earlier totals and ratings, lie in the tasks of the pass by user. With
    ``kept``, they are those of its users.
    """
    totals = kept.movie_totals if kept else None
    with_movie = with_movie_columns(
        rows, task_layouts["movie_id"], settings, min_rating=min_rating, totals=totals
    )
    if kept is not None:
        earlier_events = kept.events.withColumns(added(min_rating))
        with_movie = _of_users(with_movie, kept).unionByName(earlier_events, allowMissingColumns=True)
    by_user = in_segments(
        with_movie.withColumn("second", counts_from()),
        task_layouts["user_id"],
        within=("genres", "year"),
        sums=[*SUMS, "residual"],
        recent=max(*RECENT_RATINGS, settings.history_max if settings.uses_taste else 0),
    )
    return task_layouts["user_id"].spread(by_user)


def _before_all(totals: DataFrame) -> DataFrame:
    """Totals as rows that are before all others, and have no time of their own."""
    return totals.withColumn("second", F.lit(BEFORE_ALL))


def _of_users(rows: DataFrame, kept: Kept) -> DataFrame:
    return rows.join(kept.users, "user_id", "left_semi")


def with_user_history(
    rows: DataFrame, settings: FeatureSettings, *, tables: TasteTables | None = None, shares: int = 0
) -> DataFrame:
    """Add :data:`USER_COLUMNS`, and with ``tables`` the taste columns, to rows of :func:`with_movie_history`.

    The result has a row per rating and request or, if ``rows`` have ``is_request``, a row per request only.
    Withdrawals and the passes' own columns are dropped, but for ``residual``: the rating's stars above the
    movie's mean, in units of 1 / :data:`RESIDUAL_UNITS`.

    ``*_count`` are numbers of ratings. ``*_mean`` (stars) and ``*_like_rate`` (fractions) are shrunk towards
    the priors. ``*_spread`` is the standard deviation of the ratings (stars), shrunk towards 1. The other
    columns are mean differences in stars, shrunk towards 0:

    * ``user_residual``: the user's ratings minus the movies' means, each mean as of its rating;
    * ``user_recent_5``, ``_20`` and ``_50``: the same over the user's last 5, 20 and 50 ratings only;
    * ``user_genre``: the user's residuals for movies of one of the row's genres minus ``user_residual``,
      averaged over these genres; ``user_decade``: the same for the movie's decade;
    * ``gender_movie``, ``age_group_movie``, ``occupation_movie``: the movie's ratings by users of the same
      gender (age group, occupation) minus the movie's mean.

    They are 0 if the attribute is unknown or there are no earlier ratings. The taste columns are those of
    :func:`movierate_spark.features.taste.taste_history`, with ``shares`` also the ratings behind them.
    """
    added_columns = [*USER_COLUMNS]
    if tables:
        added_columns += [*TASTE_COLUMNS, *[SIMILAR_RATINGS] * bool(shares)]
    user_pass = partial(user_history, settings=settings, tables=tables, shares=shares)
    own = (*EVENT_COLUMNS, *PLACE, *SUMS, "second", "is_request")
    return add_columns(rows, user_pass, added_columns, keep=is_in_result, without=own)


def with_levels(rows: DataFrame, settings: FeatureSettings) -> DataFrame:
    """The ratings of :func:`with_movie_history` with ``user_residual`` only, which is all that tables need.

    Columns: user_id, movie_id, ``at``, rating, ``residual`` and ``user_residual``.
    """
    columns = ["user_id", "movie_id", "at", "rating", "withdrawn_at", "segment", "part", "kind", "second"]
    leveled = add_columns(
        rows.select(*columns, "n", "residual"),
        partial(levels, settings=settings),
        ["user_residual"],
        keep=is_in_result,
        without=(*PLACE, "second", "withdrawn_at", "n"),
    )
    return leveled.where(F.col("rating").isNotNull())


def tastes_as_of(
    rows: DataFrame, settings: FeatureSettings, tables: TasteTables, *, at: datetime, movie_id: int
) -> DataFrame:
    """What the taste columns take from users as of ``at``: :data:`TASTES`.

    ``rows`` are those of :func:`with_movie_history`, with a request at ``at`` for a movie that nobody has
    rated (``movie_id``) of each user that is asked for. ``taste_movies`` are the movies of the ratings that
    the request looks at, as indices in the tables, and ``taste_residuals`` their residuals in stars;
    ``taste_vector`` is the user's. There is no row for users without earlier ratings, and none at all if
    ``at`` is in block 0.
    """
    block = tables.block_at(at)
    if not block:
        return rows.sparkSession.createDataFrame([], TASTES)
    columns = ["user_id", "movie_id", "rating", "withdrawn_at", "segment", "part", "kind", "second"]
    is_other = (F.col("kind") == ORDINARY) & F.col("rating").isNull() & (F.col("movie_id") != movie_id)
    function = partial(tastes_of_requests, settings=settings, tables=tables, block=block, movie_id=movie_id)
    task = partial(_tastes_task, function=function)
    return rows.where(~is_other).select(*columns, "n", "residual").mapInArrow(task, TASTES)


# ---- one task's rows ----------------------------------------------------------------------------


def movie_history(rows: pa.Table, settings: FeatureSettings) -> Columns:
    """:data:`MOVIE_COLUMNS` and ``residual``, in units of 1 / :data:`RESIDUAL_UNITS` stars (0 for a request).

    A withdrawal's residual is the negative of that of the rating that it withdraws.
    """
    movie = histories(rows, "movie_id")
    second = integers(rows, "second")
    past = earlier(movie, second)
    sums = [integers(rows, name) for name in SUMS]
    n, tenths = sums[:2]
    columns = _means("movie", past, rows, sums, shrinkage=settings.shrinkage_movie)
    mean = columns["movie_mean"]
    for group in GROUPS:
        people = earlier(groups(movie, codes(rows, group)), second)
        stars, count = people.totals(tenths) / 10, people.totals(n)
        above = (stars - count * mean) / (count + settings.shrinkage_group)
        columns[f"{group}_movie"] = np.where(known(rows, group), above, 0.0)
    is_rating, is_withdrawal = known(rows, "rating"), known(rows, "withdrawn_at")
    stars = np.asarray(rows["rating"].fill_null(0.0))
    residual = np.rint((stars - mean) * RESIDUAL_UNITS).astype(np.int64)
    return columns | {"residual": np.where(is_rating, np.where(is_withdrawal, -residual, residual), 0)}


def _has_time(rows: pa.Table) -> NDArray[np.bool_]:
    """Whether a row is an event or a request, and not a summary of earlier ones."""
    return is_ordinary(rows) & known(rows, "at")


def is_in_result(rows: pa.Table) -> NDArray[np.bool_]:
    """Whether :func:`with_user_history` has the row in its result."""
    is_result = is_ordinary(rows) & ~known(rows, "withdrawn_at")
    if "is_request" in rows.column_names:
        is_result &= np.asarray(rows["is_request"].fill_null(False))
    return is_result


def user_history(
    rows: pa.Table, settings: FeatureSettings, tables: TasteTables | None = None, shares: int = 0
) -> Columns:
    """:data:`USER_COLUMNS`, and with ``tables`` the taste columns, from rows with ``residual``."""
    user = histories(rows, "user_id")
    second = integers(rows, "second")
    past = earlier(user, second, integers(rows, "movie_id"))
    *sums, residual = _without_recent(rows, [*SUMS, "residual"])
    n = sums[0]
    columns = _means("user", past, rows, sums, shrinkage=settings.shrinkage_user)
    level = _level(past, n, residual, settings)
    columns["user_residual"] = level
    recent = _recent(rows, past, user)
    for last in RECENT_RATINGS:
        ratings, above = recent.totals(integers(rows, "residual"), last=last)
        columns[f"user_recent_{last}"] = above / RESIDUAL_UNITS / (ratings + settings.shrinkage_user)

    def taste(group: Ints, row: Ints | slice) -> Floats:
        """The user's mean residual for one kind of movie minus that for all movies, shrunk towards 0."""
        same_kind = earlier(group, second[row])
        ratings = same_kind.totals(n[row])
        stars = same_kind.totals(residual[row]) / RESIDUAL_UNITS
        return np.asarray((stars - ratings * level[row]) / (ratings + settings.shrinkage_taste))

    decade = np.floor_divide(integers(rows, "year"), 10)
    by_decade = taste(groups(user, decade), slice(None))
    columns["user_decade"] = np.where(known(rows, "year"), by_decade, 0.0)
    row, genre = genres_of(rows)
    by_genre = taste(groups(user[row], genre), row)
    genres = np.bincount(row, minlength=rows.num_rows)
    summed = np.bincount(row, weights=by_genre, minlength=rows.num_rows)
    columns["user_genre"] = summed / np.maximum(genres, 1)
    if tables:
        task_rows = _task_rows(rows, user, level, past.totals(n), is_in_result(rows))
        columns |= taste_history(task_rows, recent, tables, last=settings.history_max, shares=shares)
    return columns


def tastes_of_requests(
    rows: pa.Table, settings: FeatureSettings, tables: TasteTables, *, block: int, movie_id: int
) -> pa.Table:
    """The table of :func:`tastes_as_of`."""
    user = histories(rows, "user_id")
    past = earlier(user, integers(rows, "second"), integers(rows, "movie_id"))
    n, residual = _without_recent(rows, ["n", "residual"])
    is_request = (integers(rows, "kind") == ORDINARY) & (integers(rows, "movie_id") == movie_id)
    task_rows = _task_rows(rows, user, _level(past, n, residual, settings), past.totals(n), is_request)
    recent, learnt = _recent(rows, past, user), tables.of_block(block)
    found = tastes(task_rows, recent, tables, learnt, last=settings.history_max)
    offset = found.offset.astype(np.int32)
    vectors = np.arange(len(found.row) + 1, dtype=np.int32) * found.vector.shape[1]
    return pa.table(
        {
            "user_id": rows["user_id"].take(pa.array(found.row)),
            "taste_movies": pa.ListArray.from_arrays(offset, pa.array(found.movie, pa.int32())),
            "taste_residuals": pa.ListArray.from_arrays(offset, found.residual),
            "taste_vector": pa.ListArray.from_arrays(vectors, found.vector.ravel()),
        }
    )


def levels(rows: pa.Table, settings: FeatureSettings) -> Columns:
    """``user_residual`` alone, as :func:`user_history` has it."""
    past = earlier(histories(rows, "user_id"), integers(rows, "second"))
    n, residual = _without_recent(rows, ["n", "residual"])
    return {"user_residual": _level(past, n, residual, settings)}


def _level(past: Earlier, n: Ints, residual: Ints, settings: FeatureSettings) -> Floats:
    """The user's mean residual before each row, in stars, shrunk towards 0."""
    return past.totals(residual) / RESIDUAL_UNITS / (past.totals(n) + settings.shrinkage_user)


def _without_recent(rows: pa.Table, names: Sequence[str]) -> list[Ints]:
    """Columns to sum up, with 0 in a segment's earlier ratings, as its totals hold these, too."""
    is_recent = integers(rows, "kind") == RECENT
    return [np.where(is_recent, 0, integers(rows, name)) for name in names]


def _recent(rows: pa.Table, past: Earlier, user: Ints) -> Recent:
    """The ratings in each row's past, also those that a segment gets from earlier ones."""
    is_rating = known(rows, "rating") & ~known(rows, "withdrawn_at") & (integers(rows, "kind") != TOTALS)
    return past.recent(is_rating, groups(user, codes(rows, "movie_id")))


def _task_rows(
    rows: pa.Table, user: Ints, level: Floats, count: Ints, is_scored: NDArray[np.bool_]
) -> TaskRows:
    return TaskRows(
        user=user,
        movie_id=integers(rows, "movie_id"),
        second=integers(rows, "second"),
        rating=np.asarray(rows["rating"].fill_null(0.0)),
        residual=integers(rows, "residual") / RESIDUAL_UNITS,
        level=level,
        count=count,
        is_scored=is_scored,
    )


def _means(side: str, past: Earlier, rows: pa.Table, sums: Sequence[Ints], *, shrinkage: float) -> Columns:
    count, tenths, likes, squares = (past.totals(values) for values in sums)
    prior_mean, prior_like_rate = (np.asarray(rows[name].fill_null(0.0)) for name in PRIOR_COLUMNS)
    about_mean = squares / 100 - np.square(tenths / 10) / np.maximum(count, 1)
    return {
        f"{side}_count": count,
        f"{side}_mean": shrunk(tenths / 10, count, prior=prior_mean, shrinkage=shrinkage),
        f"{side}_like_rate": shrunk(likes, count, prior=prior_like_rate, shrinkage=shrinkage),
        f"{side}_spread": np.sqrt(shrunk(about_mean, count, prior=SPREAD_PRIOR, shrinkage=SPREAD_SHRINKAGE)),
    }


def _tastes_task(
    batches: Iterator[pa.RecordBatch], function: Callable[[pa.Table], pa.Table]
) -> Iterator[pa.RecordBatch]:
    rows = complete(batches)
    if rows is not None:
        yield from function(rows).to_batches(max_chunksize=ROWS_PER_BATCH)
