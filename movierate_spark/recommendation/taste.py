"""What the taste columns add to the log odds of users (rows) with movies (columns): products of matrices.

The columns are those of :func:`movierate_spark.features.taste.taste_history` and of the model's
``taste_expected``, as of one second, and so with one block's tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from movierate_spark.features.earlier import Floats
from movierate_spark.features.factors import RANK, expected
from movierate_spark.features.lookback import Indices
from movierate_spark.features.neighbours import DOUBT
from movierate_spark.features.taste_tables import BlockTables


@dataclass(frozen=True)
class TasteCoefficients:
    """The model's coefficients of the taste columns, in log odds per unit of each."""

    user_neighbours: float
    user_factors: float
    taste_expected: float


@dataclass(frozen=True)
class MovieTaste:
    """The movies' side, an entry for each movie that may be recommended.

    ``mean_difference`` is the movie's mean above that of all ratings, ``spread`` the movie's spread (stars).
    ``weight`` (movies of the tables x movies) says how much a rating of the row's movie counts for the
    column's; ``vector`` are the movies'. Both are 0 for a movie that the tables don't have. ``weight`` takes
    12 bytes for each neighbour.
    """

    mean_difference: Floats
    spread: Floats
    weight: sp.csr_array
    vector: Floats

    @classmethod
    def of(
        cls, tables: BlockTables | None, index: Indices, mean_difference: Floats, spread: Floats
    ) -> MovieTaste:
        """From the tables of a block, in which the movies have these indices; None in block 0."""
        if tables is None:
            nothing = sp.csr_array((1, len(index)), dtype=np.float64)
            return cls(mean_difference, spread, nothing, np.zeros((len(index), RANK)))
        table = tables.neighbours
        neighbour, weight = table.neighbour[index], table.weight[index]
        movie, place = np.nonzero(weight)
        cells = weight[movie, place].astype(np.float64), (neighbour[movie, place], movie)
        shape = (table.movies, len(index))
        return cls(mean_difference, spread, sp.csr_array(cells, shape=shape), tables.vectors[index])


@dataclass(frozen=True)
class UserTaste:
    """Some users' side, an entry or a row for each.

    ``level`` is the user's mean residual and ``spread`` the spread of his ratings (both in stars), ``count``
    their number. ``residual`` (users x movies of the tables) holds those that the columns look at, in stars;
    a residual of 0 is stored, too. ``vector`` is the user's.
    """

    level: Floats
    spread: Floats
    count: Floats
    residual: sp.csr_array
    vector: Floats

    @classmethod
    def of(cls, users: pa.RecordBatch, *, movies: int) -> UserTaste:
        """From rows as :data:`movierate_spark.recommendation.sides.USER_TASTE`."""
        rated = users["taste_movies"]
        offset = rated.offsets.to_numpy()
        cells = users["taste_residuals"].flatten().to_numpy(), rated.flatten().to_numpy(), offset - offset[0]
        level, spread, count = (
            np.asarray(users[name].to_numpy(), dtype=np.float64)
            for name in ("user_residual", "user_spread", "user_count")
        )
        vector = users["taste_vector"].flatten().to_numpy().reshape(-1, RANK)
        shape = (users.num_rows, movies)
        return cls(level, spread, count, sp.csr_array(cells, shape=shape), vector)


def added_by_taste(users: UserTaste, movies: MovieTaste, coefficients: TasteCoefficients) -> Floats:
    """The taste columns of every user (rows) with every movie (columns), times their coefficients, added up.

    In log odds. Takes some 60 bytes a cell while it runs.
    """
    products = users.vector @ movies.vector.T
    level, spread = users.level[:, None], users.spread[:, None]
    above = expected(level, movies.mean_difference, products, spread, movies.spread)
    log_odds = coefficients.user_factors * products + coefficients.taste_expected * above
    return log_odds + coefficients.user_neighbours * by_neighbours(users, movies)


def by_neighbours(users: UserTaste, movies: MovieTaste) -> Floats:
    """``user_neighbours`` of every user (rows) with every movie (columns), in stars.

    It is :func:`movierate_spark.features.neighbours.scores` times the log of 1 + the number of ratings.
    """
    is_rated = users.residual.copy()
    is_rated.data = np.ones_like(is_rated.data)
    total = (is_rated @ movies.weight).toarray()
    above = (users.residual @ movies.weight).toarray()
    above -= users.level[:, None] * total
    total += DOUBT
    above /= total
    above *= np.log1p(users.count)[:, None]
    return np.asarray(above)
