"""The taste columns of a task's rows: what the tables say of a user's earlier ratings and the row's movie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from movierate_spark.features import factors, neighbours
from movierate_spark.features.earlier import Floats, Ints, Recent
from movierate_spark.features.lookback import Rows, lookback
from movierate_spark.features.pairs import DEVIATION_UNITS
from movierate_spark.features.taste_tables import TasteTables

TASTE_COLUMNS = ("user_neighbours", "user_factors")


@dataclass(frozen=True)
class TaskRows:
    """The rows of a task, each of which has an entry in every array.

    ``user`` numbers the histories, ``second`` is the epoch second, ``residual`` the rating's (stars),
    ``level`` the user's mean residual before the row (stars), ``count`` the number of ratings. ``is_scored``
    tells ratings and requests from rows that only carry totals or earlier ratings.
    """

    user: Ints
    movie_id: Ints
    second: Ints
    residual: Floats
    level: Floats
    count: Ints
    is_scored: NDArray[np.bool_]


def taste_history(rows: TaskRows, recent: Recent, tables: TasteTables, *, last: int) -> dict[str, Floats]:
    """:data:`TASTE_COLUMNS` of each row, from the user's ``last`` ratings of strictly earlier seconds.

    ``user_neighbours`` is how far the user rated the movie's neighbours above the level, in stars, times the
    log of 1 + the number of ratings. ``user_factors`` is the product of the user's and the movie's vector, in
    stars. Both are 0 in block 0, for movies that the tables don't have, and without earlier ratings.
    """
    order = recent.past.order
    rated = order[recent.positions]
    movie = tables.index(rows.movie_id)
    ratings = lookback(
        rows.user[rated], movie[rated], recent.replaced_at, movies=len(tables.movie_id), last=last
    )
    stars = rows.residual[rated]
    units = np.rint(stars * DEVIATION_UNITS).astype(np.int64)
    columns = {name: np.zeros(len(order)) for name in TASTE_COLUMNS}
    block = np.where(rows.is_scored, tables.time_block(rows.second), 0)[order]
    for number in np.unique(block[block > 0]):
        chosen = np.flatnonzero(block == number)
        row = order[chosen]
        scored = Rows(recent.start[chosen], recent.end[chosen], movie[row], rows.level[row])
        learnt = tables.of_block(int(number))
        columns["user_neighbours"][row] = neighbours.scores(ratings, stars, learnt.neighbours, scored)
        columns["user_factors"][row] = factors.scores(ratings, units, learnt.vectors, scored)
    columns["user_neighbours"] *= np.log1p(rows.count)
    return columns
