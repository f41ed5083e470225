"""Sums over the users who have rated both of two movies: exact, and learnt block by block.

Two ratings of a user are a *pair* from the later one's second on, if that one looks back as far as the
earlier one (:mod:`movierate_spark.features.lookback`), over at most :data:`FAR_APART` ratings. When a rating
is replaced, its pairs are taken back. A rating is a pair with itself, too: the sums of a movie with itself
are those of its own ratings.

What is added are whole numbers, so that sums are the same in any order and whichever users lie in which task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from movierate_spark.features.earlier import Floats, Ints
from movierate_spark.features.lookback import Indices, Lookback, batches, expanded, runs

DEVIATION_UNITS = 2**10
"""Of a star: a product has 26 bits at most, which leaves room for 2**37 users who have rated both."""
FAR_APART = 2_000
"""In places. Further back than the last 500 places looks only who has re-rated movies among them."""
PAIRS_AT_ONCE = 4_000_000  # at 60 bytes


@dataclass(frozen=True)
class PairSums:
    """Of each movie from ``first`` on (rows) with every movie (columns).

    ``products`` are sums of products of deviations in squared :data:`DEVIATION_UNITS`, ``counts`` the numbers
    of pairs. Twelve bytes a cell: 1,000 of 60,000 movies take 720 MB.
    """

    first: int
    products: NDArray[np.int64]
    counts: Indices

    def has(self, movie: Indices) -> NDArray[np.bool_]:
        """Whether movies are among the rows."""
        return (movie >= self.first) & (movie < self.first + len(self.counts))


def no_pairs(first: int, end: int, *, movies: int) -> PairSums:
    """Zeros, for the movies from ``first`` up to, not including, ``end``."""
    shape = (end - first, movies)
    return PairSums(first, np.zeros(shape, np.int64), np.zeros(shape, np.int32))


def deviations(residual: Ints, level: Floats, *, residual_units: int) -> Ints:
    """Each rating's residual less its user's level at that time (stars), in :data:`DEVIATION_UNITS`."""
    return np.rint((residual / residual_units - level) * DEVIATION_UNITS).astype(np.int64)


def add_block(sums: PairSums, ratings: Lookback, deviation: Ints, time_block: Ints, *, block: int) -> None:
    """Add the pairs that the ratings of a block make, and take back those of the ratings that they replace.

    ``ratings`` are all ratings of some users up to the block's end, later ones too if need be; ``time_block``
    never falls within a user. Memory is bounded by :data:`PAIRS_AT_ONCE`, besides the sums and the ratings.
    """
    begin, end = _within_user(ratings, time_block == block)
    _add_standing(sums, ratings, deviation, begin, end)
    _add_replaced(sums, ratings, deviation, begin, end)


def _within_user(ratings: Lookback, chosen: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """For each rating: from where to where its user's ``chosen`` ratings lie, which follow on each other."""
    before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(chosen)])
    count = np.diff(before[ratings.starts])
    place = np.append(np.flatnonzero(chosen), len(chosen))[before[ratings.starts[:-1]]]
    return place[ratings.user], (place + count)[ratings.user]


def _partners(ratings: Lookback, place: Ints) -> tuple[Ints, Ints]:
    """Between which places all the partners of some ratings lie."""
    until = np.minimum(ratings.leaves[place], ratings.replaced_at[place])
    return np.maximum(ratings.begin[place], place - FAR_APART), np.minimum(until, place + FAR_APART + 1)


def _add_standing(sums: PairSums, ratings: Lookback, deviation: Ints, begin: Ints, end: Ints) -> None:
    """Add the pairs of ratings that are never replaced: whatever lies between two partners is one, too.

    Ratings with the same partners, such as all those of a user with few, share a row of the right factor.
    """
    stands = ratings.replaced_at == len(ratings.user)
    number = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(stands)])
    standing = np.flatnonzero(stands)
    movie, value = ratings.movie[standing], deviation[standing]
    place = standing[(standing < end[standing]) & (begin[standing] < end[standing]) & sums.has(movie)]
    since, until = _partners(ratings, place)
    first = number[np.where(place < begin[place], begin[place], since)]
    last = number[np.minimum(until, end[place])]
    own, first, last = (values[first < last] for values in (number[place], first, last))
    lead = runs(first, last)
    first, last = first[lead[:-1]], last[lead[:-1]]
    for batch in batches(last - first, at_most=PAIRS_AT_ONCE):
        partner, offset = expanded(first[batch], last[batch])
        some = own[lead[batch.start] : lead[batch.stop]]
        group = np.repeat(np.arange(len(offset) - 1), np.diff(lead[batch.start : batch.stop + 1]))
        left, right = (movie[some].astype(np.int64) - sums.first, group), (movie[partner], offset)
        _add_product(sums.products, (value[some], left), (value[partner], right))
        ones = np.ones(max(len(some), len(partner)), np.int32)
        _add_product(sums.counts, (ones[: len(some)], left), (ones[: len(partner)], right))


def _add_product(
    target: NDArray[Any],
    left: tuple[NDArray[Any], tuple[Ints, Ints]],
    right: tuple[NDArray[Any], tuple[Indices, Ints]],
) -> None:
    """Add values at (row, group) times values in groups of columns."""
    groups = len(right[1][1]) - 1
    by_row = sp.csr_array(left, shape=(len(target), groups))
    by_group = sp.csr_array((right[0], *right[1]), shape=(groups, target.shape[1]))
    products = by_row @ by_group
    row = np.repeat(np.arange(len(target)) * target.shape[1], np.diff(products.indptr))
    np.add.at(target.reshape(-1), row + products.indices, products.data)  # faster than [...] +=


def _add_replaced(sums: PairSums, ratings: Lookback, deviation: Ints, begin: Ints, end: Ints) -> None:
    """Add or take back, one by one, the pairs with a rating that is replaced some time."""
    replaced_at, none = ratings.replaced_at, len(ratings.user)
    rows = np.flatnonzero((replaced_at < none) & (np.arange(none) < end) & (begin < end))
    first, last = _partners(ratings, rows)
    last = np.minimum(last, end[rows])
    for batch in batches(last - first, at_most=PAIRS_AT_ONCE // 4):
        other, offset = expanded(first[batch], last[batch])
        one = np.repeat(rows[batch], np.diff(offset))
        earlier, later = np.minimum(one, other), np.maximum(one, other)
        is_pair = (later < _partners(ratings, earlier)[1]) | (earlier == later)
        is_pair &= (replaced_at[other] == none) | (one <= other)  # two replaced ratings meet twice
        gone = np.minimum(replaced_at[one], replaced_at[other])
        change = (later >= begin[one]).astype(np.int32) - ((gone >= begin[one]) & (gone < end[one]))
        changed = np.flatnonzero(is_pair & (change != 0))
        i, j, change = one[changed], other[changed], change[changed]
        _add_cells(sums, ratings.movie, deviation, i, j, change)
        apart = i != j
        _add_cells(sums, ratings.movie, deviation, j[apart], i[apart], change[apart])


def _add_cells(
    sums: PairSums, movie: Indices, deviation: Ints, one: Ints, other: Ints, change: Indices
) -> None:
    kept = sums.has(movie[one])
    one, other, change = one[kept], other[kept], change[kept]
    cell = (movie[one].astype(np.int64) - sums.first) * sums.counts.shape[1] + movie[other]
    np.add.at(sums.products.reshape(-1), cell, change * deviation[one] * deviation[other])
    np.add.at(sums.counts.reshape(-1), cell, change)
