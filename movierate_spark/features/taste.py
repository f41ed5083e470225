"""The taste columns of a task's rows: what the tables say of a user's earlier ratings and the row's movie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from movierate_spark.features import factors, neighbours
from movierate_spark.features.earlier import Floats, Ints, Recent
from movierate_spark.features.lookback import Indices, Lookback, Rows, lookback, looked_at
from movierate_spark.features.pairs import DEVIATION_UNITS
from movierate_spark.features.taste_tables import BlockTables, TasteTables

TASTE_COLUMNS = ("user_neighbours", "user_factors")
SIMILAR_RATINGS = "similar_ratings"


@dataclass(frozen=True)
class TaskRows:
    """The rows of a task, each of which has an entry in every array.

    ``user`` numbers the histories, ``second`` is the epoch second, ``rating`` has the rating's stars (0 for a
    request) and ``residual`` its residual (stars), ``level`` the user's mean residual before the row (stars),
    ``count`` the number of ratings. ``is_scored`` tells ratings and requests from rows that only carry totals
    or earlier ratings.
    """

    user: Ints
    movie_id: Ints
    second: Ints
    rating: Floats
    residual: Floats
    level: Floats
    count: Ints
    is_scored: NDArray[np.bool_]


def taste_history(
    rows: TaskRows, recent: Recent, tables: TasteTables, *, last: int, shares: int = 0
) -> dict[str, Floats | pa.Array]:
    """:data:`TASTE_COLUMNS` of each row, from the user's ``last`` ratings of strictly earlier seconds.

    ``user_neighbours`` is how far the user rated the movie's neighbours above the level, in stars, times the
    log of 1 + the number of ratings. ``user_factors`` is the product of the user's and the movie's vector, in
    stars. Both are 0 in block 0, for movies that the tables don't have, and without earlier ratings.

    With ``shares``, :data:`SIMILAR_RATINGS` too: the ratings that add most to ``user_neighbours``, at most
    ``shares`` of them, each with movie_id, rating (stars) and share, the part of the column that it makes up.
    """
    ratings = _Ratings.of(rows, recent, tables, last=last)
    columns = {name: np.zeros(len(rows.user)) for name in TASTE_COLUMNS}
    place = np.zeros((len(rows.user), shares), dtype=np.int64)
    share = np.zeros((len(rows.user), shares))
    order = recent.past.order
    block = np.where(rows.is_scored, tables.time_block(rows.second), 0)[order]
    for number in np.unique(block[block > 0]):
        chosen = np.flatnonzero(block == number)
        scored = _scored(rows, recent, tables, chosen)
        of_block = tables.of_block(int(number))
        row = order[chosen]
        similar = neighbours.scores(
            ratings.lookback, ratings.stars, of_block.neighbours, scored, shares=shares
        )
        columns["user_neighbours"][row], place[row], share[row] = similar.score, similar.place, similar.share
        of_factors = factors.scores(ratings.lookback, ratings.units, of_block.vectors, scored)
        columns["user_factors"][row] = of_factors
    times = np.log1p(rows.count)
    columns["user_neighbours"] *= times
    if not shares:
        return columns
    rated = order[recent.positions]
    return {**columns, SIMILAR_RATINGS: _similar_ratings(rows, rated, place, share * times[:, None])}


def _similar_ratings(rows: TaskRows, rated: Ints, place: Ints, share: Floats) -> pa.Array:
    """For each row a list of the ratings with a share; ``rated`` has the row of the rating at each place."""
    is_there = share != 0
    offset = np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(is_there.sum(axis=1), dtype=np.int32)])
    row = rated[place[is_there]]
    columns = {"movie_id": rows.movie_id[row], "rating": rows.rating[row], "share": share[is_there]}
    entries = pa.StructArray.from_arrays(list(map(pa.array, columns.values())), names=list(columns))
    return pa.ListArray.from_arrays(pa.array(offset), entries)


@dataclass(frozen=True)
class Tastes:
    """What the taste columns of some rows take from their users, whatever the movie.

    ``row`` are the rows' numbers in the task. The ratings that the i-th of them looks at go from
    ``offset[i]`` to before ``offset[i + 1]``: ``movie`` (its index in the tables; without those that they
    don't have) and ``residual`` (stars). ``vector`` is the user's, one for each of the rows.
    """

    row: Ints
    offset: Ints
    movie: Indices
    residual: Floats
    vector: Floats


def tastes(
    rows: TaskRows, recent: Recent, tables: TasteTables, of_block: BlockTables, *, last: int
) -> Tastes:
    """The tastes as of the scored rows, which all lie in the block of the tables ``of_block``.

    Rows without earlier ratings are left out: whatever the movie, their columns are 0.
    """
    ratings = _Ratings.of(rows, recent, tables, last=last)
    order = recent.past.order
    chosen = np.flatnonzero(rows.is_scored[order] & (recent.end > recent.start))
    scored = _scored(rows, recent, tables, chosen)
    number, place = looked_at(ratings.lookback, scored.end)
    movie = ratings.lookback.movie[place]
    known = movie < ratings.lookback.movies
    return Tastes(
        order[chosen],
        np.searchsorted(number[known], np.arange(len(chosen) + 1)),
        movie[known],
        ratings.stars[place[known]],
        factors.user_vectors(ratings.lookback, ratings.units, of_block.vectors, scored),
    )


@dataclass(frozen=True)
class _Ratings:
    """A task's ratings in order of user, second and movie; ``stars`` and ``units`` are their residuals."""

    lookback: Lookback
    stars: Floats
    units: Ints

    @classmethod
    def of(cls, rows: TaskRows, recent: Recent, tables: TasteTables, *, last: int) -> _Ratings:
        rated = recent.past.order[recent.positions]
        movie, stars = tables.index(rows.movie_id[rated]), rows.residual[rated]
        of_users = lookback(
            rows.user[rated], movie, recent.replaced_at, movies=len(tables.movie_id), last=last
        )
        return cls(of_users, stars, np.rint(stars * DEVIATION_UNITS).astype(np.int64))


def _scored(rows: TaskRows, recent: Recent, tables: TasteTables, chosen: Ints) -> Rows:
    """The rows at some places of the order of user and second."""
    row = recent.past.order[chosen]
    return Rows(recent.start[chosen], recent.end[chosen], tables.index(rows.movie_id[row]), rows.level[row])
