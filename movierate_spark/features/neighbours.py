"""Movies that the same people rate alike, and what a user's ratings of them say of a movie.

Item neighbours by cosine (Sarwar et al., Item-based collaborative filtering recommendation algorithms, WWW
2001) of deviations, each a rating less what its movie and its user let expect at that time, with a similarity
drawn towards 0 where few have rated both (Herlocker et al., Empirical analysis of design choices, 2002).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from movierate_spark.features.earlier import Floats, Ints
from movierate_spark.features.lookback import Indices, Lookback, Rows, batches, expanded, runs
from movierate_spark.features.pairs import PairSums

SUPPORT = 30.0
"""Users who have rated both movies at whose number a similarity counts half."""
DOUBT = 0.01
"""Weight of a neighbour without a deviation: little similarity in all says little."""
CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Neighbours:
    """A time block's table: of each movie the ``kept`` movies that weigh most, in order of their index.

    ``neighbour`` and ``weight`` have a row for each movie and a last one for all that the table doesn't have;
    a free place holds the number of movies, and the weight 0. Eight bytes a place: 60,000 movies and 200
    neighbours take 96 MB.
    """

    neighbour: Indices
    weight: NDArray[np.float32]

    @property
    def movies(self) -> int:
        """How many movies the table has."""
        return len(self.neighbour) - 1


def weights(sums: PairSums, squares: Ints) -> Iterator[tuple[int, Floats]]:
    """Some rows of ``sums`` at a time: the first one's movie, and its weights for all movies.

    ``squares`` are every movie's own products. The weight is ``(cos * n / (n + SUPPORT)) ** 2`` where the
    cosine is positive, else 0; so is a movie's own. It is the same in both directions, to the bit.
    """
    movies = sums.counts.shape[1]
    norm = np.sqrt(np.where(squares > 0, squares, np.inf))
    for rows in batches(np.full(len(sums.counts), movies), at_most=CELLS_AT_ONCE // 16):
        own = np.arange(sums.first + rows.start, sums.first + rows.stop)
        cosine = np.maximum(sums.products[rows], 0) / (norm[own, None] * norm)
        counts = sums.counts[rows]
        weights = np.square(cosine * (counts / (counts + SUPPORT)))
        weights[np.arange(len(own)), own] = 0.0
        yield int(own[0]), weights


def top(weights: Floats, *, kept: int) -> tuple[Ints, Ints, Floats]:
    """Row, column and weight of the ``kept`` largest positive weights of each row; of equal ones the first.

    In order of row and column.
    """
    chosen = weights > 0
    if kept < weights.shape[1]:
        least = np.partition(weights, -kept, axis=1)[:, -kept, None]
        chosen &= weights >= least
        for row in np.flatnonzero(chosen.sum(axis=1) > kept):  # rare: equal weights at the very end
            equal = np.flatnonzero(weights[row] == least[row])
            chosen[row, equal[kept - int((weights[row] > least[row]).sum()) :]] = False
    cells = np.nonzero(chosen)
    return cells[0], cells[1], weights[cells]


def neighbours(movie: Ints, neighbour: Ints, weight: Floats, *, movies: int, kept: int) -> Neighbours:
    """The table from its cells, which are in order of movie and neighbour."""
    shape = (movies + 1, kept)
    table = Neighbours(np.full(shape, movies, dtype=np.int32), np.zeros(shape, dtype=np.float32))
    begin = np.searchsorted(movie, np.arange(movies))
    place = np.arange(len(movie)) - begin[movie]
    table.neighbour[movie, place], table.weight[movie, place] = neighbour, weight
    return table


@dataclass(frozen=True)
class NeighbourScores:
    """What a user's ratings of a movie's neighbours say, row by row.

    ``score`` is how far he has rated them above his level: stars, 0 where he has rated none. It is a sum of
    shares, one for each rating. Those that are largest by size come first in ``place`` and ``share`` (rows by
    as many as were asked for); a share of 0 is a free place.
    """

    score: Floats
    place: Ints
    share: Floats


def scores(
    ratings: Lookback, residual: Floats, table: Neighbours, rows: Rows, *, shares: int = 0
) -> NeighbourScores:
    """``sum(w * (residual - level)) / (sum(w) + DOUBT)`` over the ratings that each row looks at.

    They are added up in order of the neighbours' indices; ``residual`` is each rating's, in stars. The
    ``shares`` largest of each row are told. Memory is bounded by :data:`CELLS_AT_ONCE`, or by a user's row of
    the movies, besides what is given.
    """
    shape = (len(rows), shares)
    result = NeighbourScores(np.zeros(len(rows)), np.zeros(shape, dtype=np.int64), np.zeros(shape))
    known = np.flatnonzero(rows.end > rows.start)
    user = ratings.user[rows.start[known]]
    lead = runs(user)
    for batch in batches(np.full(len(lead) - 1, table.movies + 1), at_most=CELLS_AT_ONCE):
        places = _RatingPlaces.of(ratings, user[lead[batch]], table.movies)
        begin, kept = int(lead[batch.start]), table.weight.shape[1]
        for part in batches(np.full(lead[batch.stop] - begin, kept), at_most=CELLS_AT_ONCE // 4):
            chosen = slice(begin + part.start, begin + part.stop)
            number = np.searchsorted(lead, np.arange(chosen.start, chosen.stop), side="right") - 1
            some = known[chosen]
            of_some = _scores(ratings, residual, table, rows[some], places, number - batch.start, shares)
            result.score[some], result.place[some], result.share[some] = of_some
    return result


def _scores(
    ratings: Lookback,
    residual: Floats,
    table: Neighbours,
    rows: Rows,
    places: _RatingPlaces,
    user: Ints,
    shares: int,
) -> tuple[Floats, Ints, Floats]:
    place = places.before(user[:, None], table.neighbour[rows.movie], rows.end[:, None])
    row, column = np.nonzero(place < rows.end[:, None].astype(np.int32))
    place = place[row, column]
    looked_at = ratings.leaves[place] > rows.end[row]
    row, column, place = row[looked_at], column[looked_at], place[looked_at]
    weight = table.weight[rows.movie[row], column].astype(np.float64)
    total = np.bincount(row, weight, len(rows))
    above = np.bincount(row, weight * residual[place], len(rows))
    score = (above - rows.level * total) / (total + DOUBT)
    share = weight * (residual[place] - rows.level[row]) / (total + DOUBT)[row] if shares else weight
    return score, *_largest(row, place, share, rows=len(rows), kept=shares)


def _largest(row: Ints, place: Indices, share: Floats, *, rows: int, kept: int) -> tuple[Ints, Floats]:
    """Place and share of the ``kept`` largest of each row by size; of equal ones the earlier ratings'."""
    places, shares = np.zeros((rows, kept), dtype=np.int64), np.zeros((rows, kept))
    if kept:
        order = np.lexsort((place, -np.abs(share), row))
        begin = np.searchsorted(row[order], row[order])
        rank = np.arange(len(order)) - begin
        first = rank < kept
        cell = row[order][first], rank[first]
        places[cell], shares[cell] = place[order][first], share[order][first]
    return places, shares


@dataclass(frozen=True)
class _RatingPlaces:
    """Where some users' ratings of each movie lie.

    ``latest`` is the place of a user's latest rating of a movie, the number of ratings where there is none.
    ``re_rated`` are the ratings of movies that a user has rated several times, as ascending numbers made of
    user, movie and place, after a -1.
    """

    latest: Indices
    re_rated: Ints
    ratings: Lookback

    @classmethod
    def of(cls, ratings: Lookback, users: Ints, movies: int) -> _RatingPlaces:
        none = len(ratings.user)
        place, offset = expanded(ratings.starts[users], ratings.starts[users + 1])
        user, movie = np.repeat(np.arange(len(users)), np.diff(offset)), ratings.movie[place]
        latest = np.full((len(users), movies + 1), none, dtype=np.int32)
        latest[user, movie] = place  # of several, the last one stays
        latest[:, movies] = none
        several = (latest[user, movie] != place) | np.isin(place, ratings.replaced_at[place])
        keys = (user * (movies + 1) + movie) * (none + 1) + place
        return cls(latest, np.append(-1, np.sort(keys[several & (movie < movies)])), ratings)

    def before(self, user: Ints, movie: Indices, end: Ints) -> Indices:
        """The place of the user's last rating of the movie before ``end``, or any after: there is none."""
        place = np.asarray(self.latest[user, movie])
        if len(self.re_rated) > 1:
            none, width = len(self.ratings.user), self.latest.shape[1]
            row, column = np.nonzero((place >= end) & (place < none))
            item = user[row, 0] * width + movie[row, column]
            key = item * (none + 1)
            last = self.re_rated[np.searchsorted(self.re_rated, key + end[row, 0]) - 1]
            place[row, column] = np.where(last >= key, last - key, none)
        return place
