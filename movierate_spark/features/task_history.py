"""The history columns of one task's rows, with NumPy over a complete Arrow table.

:mod:`movierate_spark.features.history` brings the rows of a movie, then those of a user, together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.config import FeatureSettings
from movierate_spark.features.earlier import Earlier, Floats, Ints, Recent, earlier, shrunk
from movierate_spark.features.events import SUMS, added_in_task
from movierate_spark.features.segments import ORDINARY, RECENT, TOTALS
from movierate_spark.features.task_columns import (
    Columns,
    codes,
    genres_of,
    groups,
    histories,
    integers,
    is_ordinary,
    known,
    placed,
    seconds,
)
from movierate_spark.features.taste import TaskRows, taste_history, tastes
from movierate_spark.features.taste_tables import TasteTables

RECENT_RATINGS = (5, 20, 50)
MOVIE_COLUMNS = (
    "movie_count",
    "movie_mean",
    "movie_like_rate",
    "movie_spread",
    *(f"{group}_movie" for group in DEMOGRAPHICS),
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
COUNTS_FROM = ("withdrawn_at", "at")
"""The time from which an event counts for its user: the first of these that is known."""
RESIDUAL_UNITS = 2**20  # of a star: whole numbers add up exactly
SPREAD_PRIOR, SPREAD_SHRINKAGE = 1.0, 10.0
"""The variance of ratings (squared stars) before any is known, and how many ratings it counts for."""


def movie_history(rows: pa.Table, settings: FeatureSettings, min_rating: float) -> Columns:
    """:data:`MOVIE_COLUMNS` and ``residual``, in units of 1 / :data:`RESIDUAL_UNITS` stars (0 for a request).

    A withdrawal's residual is the negative of that of the rating that it withdraws.
    """
    movie = histories(rows, "movie_id")
    second = seconds(rows, "at")
    past = earlier(movie, second)
    sums = added_in_task(rows, SUMS, min_rating=min_rating)
    n, tenths = sums[:2]
    columns = _means("movie", past, rows, sums, shrinkage=settings.shrinkage_movie)
    mean = columns["movie_mean"]
    for group in DEMOGRAPHICS:
        people = earlier(groups(movie, codes(rows, group)), second)
        stars, count = people.totals(tenths) / 10, people.totals(n)
        above = (stars - count * mean) / (count + settings.shrinkage_group)
        columns[f"{group}_movie"] = np.where(known(rows, group), above, 0.0)
    is_rating, is_withdrawal = known(rows, "rating"), known(rows, "withdrawn_at")
    stars = np.asarray(rows["rating"].fill_null(0.0))
    residual = np.rint((stars - mean) * RESIDUAL_UNITS).astype(np.int64)
    return columns | {"residual": np.where(is_rating, np.where(is_withdrawal, -residual, residual), 0)}


def has_time(rows: pa.Table) -> NDArray[np.bool_]:
    """Whether a row is an event or a request, and not a summary of earlier ones."""
    return is_ordinary(rows) & known(rows, "at")


def is_in_result(rows: pa.Table) -> NDArray[np.bool_]:
    """Whether :func:`with_user_history` has the row in its result."""
    is_result = is_ordinary(rows) & ~known(rows, "withdrawn_at")
    if "is_request" in rows.column_names:
        is_result &= np.asarray(rows["is_request"].fill_null(False))
    return is_result


def user_history(
    rows: pa.Table,
    settings: FeatureSettings,
    min_rating: float,
    tables: TasteTables | None = None,
    shares: int = 0,
) -> Columns:
    """:data:`USER_COLUMNS`, and with ``tables`` the taste columns, from rows with ``residual``."""
    user = histories(rows, "user_id")
    second = seconds(rows, *COUNTS_FROM)
    past = earlier(user, second, integers(rows, "movie_id"))
    *sums, residual = _sums_and_residual(rows, SUMS, min_rating)
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
    past = earlier(user, seconds(rows, *COUNTS_FROM), integers(rows, "movie_id"))
    n, residual = _sums_and_residual(rows, ["n"])
    is_request = (placed(rows, "kind") == ORDINARY) & (integers(rows, "movie_id") == movie_id)
    task_rows = _task_rows(rows, user, _level(past, n, residual, settings), past.totals(n), is_request)
    recent, block_tables = _recent(rows, past, user), tables.of_block(block)
    users = tastes(task_rows, recent, tables, block_tables, last=settings.history_max)
    offset = users.offset.astype(np.int32)
    vectors = np.arange(len(users.row) + 1, dtype=np.int32) * users.vector.shape[1]
    return pa.table(
        {
            "user_id": rows["user_id"].take(pa.array(users.row)),
            "taste_movies": pa.ListArray.from_arrays(offset, pa.array(users.movie, pa.int32())),
            "taste_residuals": pa.ListArray.from_arrays(offset, users.residual),
            "taste_vector": pa.ListArray.from_arrays(vectors, users.vector.ravel()),
        }
    )


def levels(rows: pa.Table, settings: FeatureSettings) -> Columns:
    """``user_residual`` alone, as :func:`user_history` has it."""
    past = earlier(histories(rows, "user_id"), seconds(rows, *COUNTS_FROM))
    n, residual = _sums_and_residual(rows, ["n"])
    return {"user_residual": _level(past, n, residual, settings)}


def _level(past: Earlier, n: Ints, residual: Ints, settings: FeatureSettings) -> Floats:
    """The user's mean residual before each row, in stars, shrunk towards 0."""
    return past.totals(residual) / RESIDUAL_UNITS / (past.totals(n) + settings.shrinkage_user)


def _sums_and_residual(rows: pa.Table, names: Sequence[str], min_rating: float = 0.0) -> list[Ints]:
    """What to sum up, with 0 for a segment's earlier ratings, as its totals hold these, too."""
    is_recent = placed(rows, "kind") == RECENT
    added = [*added_in_task(rows, names, min_rating=min_rating), integers(rows, "residual")]
    return [np.where(is_recent, 0, values) for values in added]


def _recent(rows: pa.Table, past: Earlier, user: Ints) -> Recent:
    """The ratings in each row's past, also those that a segment gets from earlier ones."""
    is_rating = known(rows, "rating") & ~known(rows, "withdrawn_at") & (placed(rows, "kind") != TOTALS)
    return past.recent(is_rating, groups(user, codes(rows, "movie_id")))


def _task_rows(
    rows: pa.Table, user: Ints, level: Floats, count: Ints, is_scored: NDArray[np.bool_]
) -> TaskRows:
    return TaskRows(
        user=user,
        movie_id=integers(rows, "movie_id"),
        second=seconds(rows, *COUNTS_FROM),
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
