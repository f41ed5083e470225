"""Taste as a few numbers for each movie and user: their product says how he will rate it, above his level.

Ridge regressions in turn, users from movies' vectors and movies from users' (alternating least squares:
Koren, Bell and Volinsky, Matrix factorization techniques for recommender systems, IEEE Computer 2009; here
the ridge is not multiplied by the number of ratings). Movies' vectors are learnt from the blocks before. A
user's vector is solved anew at each row, from the ratings that it looks at and its block's vectors.

Normal equations are sums of whole numbers, in :data:`UNITS`: the same in any order and partitioning. Each is
solved alone by LAPACK, which gives the same bits whatever else is solved in its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from movierate_spark.features.earlier import Floats, Ints
from movierate_spark.features.lookback import Lookback, Rows, batches, expanded, runs
from movierate_spark.features.pairs import DEVIATION_UNITS
from movierate_spark.hashing import GOLDEN_GAMMA, uniform

RANK = 16
RIDGE_USER, RIDGE_MOVIE = 12.0, 3.0
UNITS = 2**30
"""Of products of vectors: with deviations, 2**40. Numbers of size 1 add up over 2**23 ratings."""
PRODUCT_UNITS = UNITS * DEVIATION_UNITS
SOLVED_AT_ONCE = 8_192  # at 2 KiB
PLACES_AT_ONCE = 2_048  # at 4 KiB: running sums are made in the processor's cache
_UPPER = np.triu_indices(RANK)
SQUARES = len(_UPPER[0])
TERMS = SQUARES + RANK
_SQUARE = np.zeros((RANK, RANK), dtype=np.int64)
_SQUARE[_UPPER] = _SQUARE.T[_UPPER] = np.arange(SQUARES)


def first_vectors(movie_id: Ints) -> Floats:
    """Small vectors to begin with, one for each movie (rows): they follow from its id alone.

    Numbers from -0.2 to 0.2, by a hash.
    """
    place = movie_id.astype(np.uint64)[:, None] * np.uint64(RANK) + np.arange(RANK, dtype=np.uint64)
    return uniform(np.multiply(place, GOLDEN_GAMMA, dtype=np.uint64)) * 0.4 - 0.2


def after_sweeps(deviations: Sequence[sp.csr_array], vectors: Floats, *, sweeps: int) -> Floats:
    """The movies' ``vectors`` after some sweeps over all ratings.

    ``deviations`` are users (rows) by movies, in whole :data:`DEVIATION_UNITS`, each user in one of them
    only; a deviation of 0 is stored, too. A movie without ratings has the vector 0.
    """
    for _ in range(sweeps):
        sums = np.sum([sweep_sums(some, vectors) for some in deviations], axis=0)
        vectors = movie_vectors(sums)
    return vectors


def sweep_sums(deviations: sp.csr_array, vectors: Floats) -> Ints:
    """Solve the users' vectors from the movies'; what they add to the normal equations of each movie (rows).

    The parts of some users each add up to the whole. Memory is bounded by the movies' sums, 1.2 KB each, and
    by :data:`SOLVED_AT_ONCE` users.
    """
    sums = np.zeros((len(vectors), TERMS), dtype=np.int64)
    of_movies = _terms(vectors)
    for users in batches(np.ones(deviations.shape[0], dtype=np.int64), at_most=SOLVED_AT_ONCE):
        rated = deviations[users]
        squares, products = _sums(rated, of_movies)
        own = solved(squares, products / PRODUCT_UNITS, ridge=RIDGE_USER)
        sums += np.hstack(_sums(rated.T.tocsr(), _terms(own)))
    return sums


def movie_vectors(sums: Ints) -> Floats:
    """Each movie's vector from its normal equations (rows), which :func:`sweep_sums` has begun."""
    squares, products = np.split(sums, [SQUARES], axis=1)
    return solved(squares, products / PRODUCT_UNITS, ridge=RIDGE_MOVIE)


def solved(squares: Ints, right: Floats, *, ridge: float) -> Floats:
    """The vector of each row of normal equations: sums of squares (upper triangles), and right sides."""
    vectors = np.empty((len(squares), RANK))
    diagonal = np.arange(RANK)
    for some in batches(np.ones(len(squares), dtype=np.int64), at_most=SOLVED_AT_ONCE):
        matrix = squares[some][:, _SQUARE] / UNITS
        matrix[:, diagonal, diagonal] += ridge
        vectors[some] = np.linalg.solve(matrix, right[some][..., None])[..., 0]
    return vectors


def _terms(vectors: Floats) -> tuple[Ints, Ints]:
    """What a rating of each row adds to normal equations: its squares and, times the deviation, itself."""
    squares = vectors[:, _UPPER[0]] * vectors[:, _UPPER[1]]
    return np.rint(squares * UNITS).astype(np.int64), np.rint(vectors * UNITS).astype(np.int64)


def _sums(deviations: sp.csr_array, terms: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    ones = deviations.copy()
    ones.data = np.ones_like(ones.data)
    return ones @ terms[0], deviations @ terms[1]


# ---- as of a row --------------------------------------------------------------------------------


def scores(ratings: Lookback, residual: Ints, vectors: Floats, rows: Rows) -> Floats:
    """How far each row's user is expected to rate its movie above his level: stars, 0 where nothing is known.

    ``residual`` is each rating's, in :data:`DEVIATION_UNITS`; ``vectors`` are those of the rows' block, and a
    last one of zeros for the movies without one.
    """
    return np.asarray((user_vectors(ratings, residual, vectors, rows) * vectors[rows.movie]).sum(axis=1))


def user_vectors(ratings: Lookback, residual: Ints, vectors: Floats, rows: Rows) -> Floats:
    """Each row's user as of its second: the ridge regression of the ratings that it looks at.

    Their deviations are their residuals less the user's level of now. The rows of a second share a solution.
    Memory is bounded by :data:`PLACES_AT_ONCE` ratings, or those of one user that the block's rows look at.
    """
    of_rows = np.zeros((len(rows), RANK))
    known = np.flatnonzero(rows.end > rows.start)
    lead = runs(rows.start[known], rows.end[known], rows.level[known])
    states = rows[known[lead[:-1]]]
    solutions = np.zeros((len(states), RANK))
    users, terms = runs(states.start), _terms(vectors)
    first = ratings.begin[states.end[users[:-1]] - 1]
    last = states.end[users[1:] - 1]
    for batch in batches(last - first, at_most=PLACES_AT_ONCE):
        some = states[int(users[batch.start]) : int(users[batch.stop])]
        of_user = np.repeat(np.arange(batch.stop - batch.start), np.diff(users[batch.start : batch.stop + 1]))
        place, offset = expanded(first[batch], last[batch])
        sums = _looked_at(ratings, place, offset, some.end, of_user, _values(ratings, residual, terms, place))
        squares, plain, products = np.split(sums, [SQUARES, SQUARES + RANK], axis=1)
        level = some.level[:, None]
        right = products / PRODUCT_UNITS - level * (plain / UNITS)
        solutions[int(users[batch.start]) : int(users[batch.stop])] = solved(squares, right, ridge=RIDGE_USER)
    of_rows[known] = np.repeat(solutions, np.diff(lead), axis=0)
    return of_rows


def _values(ratings: Lookback, residual: Ints, terms: tuple[Ints, Ints], place: Ints) -> Ints:
    squares, vectors = (each[ratings.movie[place]] for each in terms)
    return np.hstack([squares, vectors, vectors * residual[place, None]])


def _looked_at(ratings: Lookback, place: Ints, offset: Ints, end: Ints, of_user: Ints, values: Ints) -> Ints:
    """The sums of ``values`` over what each state (``end``, ``of_user``) looks at.

    ``place`` are the ratings of one user after the other, from each ``offset`` on; what lies before it has
    left before the first state. A state's sum is what has entered until its end less what has left.
    """
    shift = offset[:-1] - place[offset[:-1]]
    begin, until = offset[of_user], end + shift[of_user]
    leaves = ratings.leaves[place] + np.repeat(shift, np.diff(offset))
    left = np.flatnonzero(leaves <= np.repeat(offset[1:], np.diff(offset)))
    left = left[np.argsort(leaves[left], kind="stable")]
    entered_before, left_before = _running(values), _running(values[left])
    gone = np.searchsorted(leaves[left], until, side="right")
    gone_before = np.searchsorted(leaves[left], begin, side="right")
    return entered_before[until] - entered_before[begin] - left_before[gone] + left_before[gone_before]


def _running(values: Ints) -> Ints:
    sums = np.zeros((len(values) + 1, values.shape[1]), dtype=np.int64)
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def expected(
    level: Floats, movie_difference: Floats, factors: Floats, user_spread: Floats, movie_spread: Floats
) -> Floats:
    """Stars expected above the mean of all ratings, in units of the user's and the movie's spread."""
    return (level + movie_difference + factors) / (user_spread * movie_spread)
