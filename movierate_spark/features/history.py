"""The history of a user and a movie as of each row, for training and scoring alike.

A *timeline* holds the events of :mod:`movierate_spark.features.events` and, for scoring, the requests:
``user_id``, ``movie_id``, ``at``, ``rating`` (null for a request), ``replaced`` and ``withdrawn_at``. Every
row gets totals over the ratings of strictly earlier seconds; of each (user, movie) only the latest rating
counts. Requests add nothing to the totals.

The rows are shuffled twice. The pass by movie needs the users' groups, and also gives each rating its
residual: its stars above the movie's mean at that time. The pass by user needs the movies' genres and year,
and sums the residuals up. Within a task, NumPy computes the sums over a complete Arrow table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import pyarrow as pa
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

from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.config import FeatureSettings
from movierate_spark.features.events import EVENT_COLUMNS, SUMS, added, counts_from
from movierate_spark.features.segments import BEFORE_ALL, PLACE, Layout, in_segments, layout
from movierate_spark.features.task_columns import GENRE_LIST, ROWS_PER_BATCH, add_columns, complete
from movierate_spark.features.task_history import (
    MOVIE_COLUMNS,
    RECENT_RATINGS,
    USER_COLUMNS,
    has_time,
    is_in_result,
    levels,
    movie_history,
    tastes_of_requests,
    user_history,
)
from movierate_spark.features.taste import SIMILAR_RATINGS, TASTE_COLUMNS
from movierate_spark.features.taste_tables import TasteTables

TASTES = StructType(
    [
        StructField("user_id", LongType()),
        StructField("taste_movies", ArrayType(IntegerType())),
        StructField("taste_residuals", ArrayType(DoubleType())),
        StructField("taste_vector", ArrayType(DoubleType())),
    ]
)
DAILY_SUMS = SUMS[:3]
Layouts = Mapping[str, Layout]


@dataclass(frozen=True)
class EarlierHistory:
    """What :mod:`movierate_spark.features.state` knows of ratings that are not among the rows.

    ``movie_totals`` have movie_id, :data:`DEMOGRAPHICS` and the sums of :data:`SUMS`; the rows of a movie add
    up. ``events`` are those of the ``users`` (user_id) for whom rows are made, with ``residual``.
    """

    movie_totals: DataFrame
    users: DataFrame
    events: DataFrame


def daily_totals(timeline: DataFrame, *, min_rating: float) -> DataFrame:
    """The sums of :data:`DAILY_SUMS` of the ratings of each ``day`` (UTC)."""
    dated = timeline.withColumns({"day": F.to_date("at"), **added(min_rating)})
    return dated.groupBy("day").agg(*(F.sum(name).alias(name) for name in DAILY_SUMS))


def with_priors(timeline: DataFrame, *, min_rating: float, totals: DataFrame | None = None) -> DataFrame:
    """Add :data:`PRIOR_COLUMNS`: mean rating and like rate of all ratings made before the row's day (UTC).

    On the first day there are no such ratings: the mean is ``min_rating`` and the like rate 0.5. ``totals``
    are the daily totals of ratings that are not in the timeline.
    """
    daily = daily_totals(timeline, min_rating=min_rating)
    if totals is not None:
        daily = daily.unionByName(totals)
    by_day = daily.groupBy("day").agg(*(F.sum(name).alias(name) for name in DAILY_SUMS))
    earlier_days = Window.orderBy("day").rowsBetween(Window.unboundedPreceding, -1)
    n, tenths, likes = (F.sum(name).over(earlier_days) for name in DAILY_SUMS)
    # One like and one other rating more: a like rate of 0 or 1 would have no finite log odds.
    priors = by_day.select(
        "day",
        F.coalesce(tenths / (F.nullif(n, F.lit(0)) * 10), F.lit(float(min_rating))).alias("prior_mean"),
        F.coalesce((likes + 1) / (n + 2), F.lit(0.5)).alias("prior_like_rate"),
    )
    return timeline.withColumn("day", F.to_date("at")).join(F.broadcast(priors), "day").drop("day")


def layouts(
    timeline: DataFrame, settings: FeatureSettings, *, before: EarlierHistory | None = None
) -> Layouts:
    """How the rows are spread over tasks by movie and by user; both counts are Spark actions."""
    columns = ["user_id", "movie_id", "at", "withdrawn_at"]
    of_users = timeline.select(*columns)
    if before is not None:
        of_users = _of_users(of_users, before).unionByName(before.events.select(*columns))
    return {
        "movie_id": movie_layout(timeline, settings, totals=before.movie_totals if before else None),
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
        of_totals = totals.select("movie_id").withColumn("second", F.lit(BEFORE_ALL))
        rows = rows.unionByName(of_totals, allowMissingColumns=True)
    return layout(rows, "movie_id", max_rows=settings.task_max_rows)


def with_movie_columns(
    rows: DataFrame,
    tasks: Layout,
    settings: FeatureSettings,
    *,
    min_rating: float,
    totals: DataFrame | None = None,
) -> DataFrame:
    """Add :data:`MOVIE_COLUMNS` and ``residual`` to a timeline with priors and attributes.

    ``totals`` are :class:`EarlierHistory`'s ``movie_totals``. With them, the timeline has the column
    ``known_residual``: where it is not null, it is the residual.
    """
    second, sums = F.unix_seconds("at"), added(min_rating)
    if totals is not None:
        rows = rows.unionByName(totals, allowMissingColumns=True)
        second = F.coalesce(second, F.lit(BEFORE_ALL))
        sums = {name: F.when(F.col("at").isNull(), F.col(name)).otherwise(sums[name]) for name in SUMS}
    by_movie = in_segments(rows, tasks, second=second, within=DEMOGRAPHICS, sums=sums)
    with_movie = add_columns(
        tasks.spread(by_movie),
        partial(movie_history, settings=settings, min_rating=min_rating),
        [*MOVIE_COLUMNS, "residual"],
        keep=has_time,
        without=(*PLACE, *SUMS),
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
    before: EarlierHistory | None = None,
) -> DataFrame:
    """Add :data:`MOVIE_COLUMNS` and ``residual`` to a timeline with priors and users' groups.

    With ``before``, the rows are those of its users, and its events are appended.
    """
    totals = before.movie_totals if before else None
    with_movie = with_movie_columns(
        rows, task_layouts["movie_id"], settings, min_rating=min_rating, totals=totals
    )
    if before is None:
        return with_movie
    return _of_users(with_movie, before).unionByName(before.events, allowMissingColumns=True)


def spread_by_user(
    with_movie: DataFrame, task_layouts: Layouts, settings: FeatureSettings, *, min_rating: float
) -> DataFrame:
    """Shuffle rows with movie history, :data:`GENRE_LIST` and ``year`` to the tasks of the pass by user.

    Those of heavy users are split, and rows that carry earlier totals and ratings are appended.
    """
    by_user = in_segments(
        with_movie,
        task_layouts["user_id"],
        second=counts_from(),
        within=(GENRE_LIST, "year"),
        sums=added(min_rating) | {"residual": F.col("residual")},
        recent=max(*RECENT_RATINGS, settings.history_max if settings.uses_taste else 0),
    )
    return task_layouts["user_id"].spread(by_user)


def _of_users(rows: DataFrame, before: EarlierHistory) -> DataFrame:
    return rows.join(before.users, "user_id", "left_semi")


def with_user_history(
    rows: DataFrame,
    settings: FeatureSettings,
    *,
    min_rating: float,
    tables: TasteTables | None = None,
    shares: int = 0,
) -> DataFrame:
    """Add :data:`USER_COLUMNS`, and with ``tables`` the taste columns, to rows of :func:`spread_by_user`.

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
    user_pass = partial(user_history, settings=settings, min_rating=min_rating, tables=tables, shares=shares)
    own = (*EVENT_COLUMNS, *PLACE, *SUMS, GENRE_LIST, "is_request")
    return add_columns(rows, user_pass, added_columns, keep=is_in_result, without=own)


def with_levels(rows: DataFrame, settings: FeatureSettings) -> DataFrame:
    """The ratings of :func:`spread_by_user` with ``user_residual`` only, which is all that tables need.

    Columns: user_id, movie_id, ``at``, rating, ``residual`` and ``user_residual``.
    """
    leveled = add_columns(
        rows.select(*_looked_at(rows)),
        partial(levels, settings=settings),
        ["user_residual"],
        keep=is_in_result,
        without=(*EVENT_COLUMNS, *PLACE, "n"),
    )
    return leveled.where(F.col("rating").isNotNull())


def tastes_as_of(
    rows: DataFrame, settings: FeatureSettings, tables: TasteTables, *, at: datetime, movie_id: int
) -> DataFrame:
    """What the taste columns take from users as of ``at``: :data:`TASTES`.

    ``rows`` are those of :func:`spread_by_user`, with a request at ``at`` for a movie that nobody has
    rated (``movie_id``) of each user that is asked for. ``taste_movies`` are the movies of the ratings that
    the request looks at, as indices in the tables, and ``taste_residuals`` their residuals in stars;
    ``taste_vector`` is the user's. There is no row for users without earlier ratings, and none at all if
    ``at`` is in block 0.
    """
    block = tables.block_at(at)
    if not block:
        return rows.sparkSession.createDataFrame([], TASTES)
    is_other = F.col("rating").isNull() & (F.col("movie_id") != movie_id)  # of totals, it is null
    function = partial(tastes_of_requests, settings=settings, tables=tables, block=block, movie_id=movie_id)
    task = partial(_tastes_task, function=function)
    needed = rows.where(~F.coalesce(is_other, F.lit(False))).select(*_looked_at(rows))
    return needed.mapInArrow(task, TASTES)


def _looked_at(rows: DataFrame) -> list[str]:
    """What a user's levels and tastes are made of; some columns are there for heavy users only."""
    always = ["user_id", "movie_id", "at", "rating", *EVENT_COLUMNS, "residual"]
    return always + [name for name in (*PLACE, "n") if name in rows.columns]


def _tastes_task(
    batches: Iterator[pa.RecordBatch], function: Callable[[pa.Table], pa.Table]
) -> Iterator[pa.RecordBatch]:
    rows = complete(batches)
    if rows is not None:
        yield from function(rows).to_batches(max_chunksize=ROWS_PER_BATCH)
