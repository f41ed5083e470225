"""Sums over the users who have rated both of two movies: exact, and learnt block by block.

Two ratings of a user are a *pair* from the later one's second on, if that one looks back as far as the
earlier one (:mod:`movierate_spark.features.lookback`). When a rating is replaced, its pairs are taken back. A
rating is a pair with itself, too: the sums of a movie with itself are those of its own ratings.

What is added are whole numbers, so that sums are the same in any order and whichever users lie in which task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from movierate_spark.features.earlier import Floats, Ints
from movierate_spark.features.lookback import Indices, Lookback, batches, expanded, runs

DEVIATION_UNITS = 2**10
"""Of a star: a product has 26 bits at most, which leaves room for 2**37 users who have rated both."""
PAIRS_AT_ONCE = 8_000_000  # at 50 bytes
Cells = NDArray[Any]


@dataclass(frozen=True)
class PairSums:
    """Of each movie from ``first`` on (rows) with every movie (columns).

    ``products`` are sums of products of deviations in squared :data:`DEVIATION_UNITS`, ``counts`` the numbers
    of pairs. Twelve bytes a cell: 1,000 of 60,000 movies take 720 MB.
    """

    first: int
    products: NDArray[np.int64]
    counts: Indices

    @property
    def has(self) -> Callable[[Indices], NDArray[np.bool_]]:
        """Whether movies are among the rows."""
        return lambda movie: (movie >= self.first) & (movie < self.first + len(self.counts))

    def add(self, row: Indices, column: Indices, product: Ints, count: Ints | int) -> None:
        """Add to cells, which may be named several times; ``row`` is a movie of :attr:`has`."""
        cell = (row.astype(np.int64) - self.first) * self.counts.shape[1] + column
        np.add.at(self.products.reshape(-1), cell, product)
        np.add.at(self.counts.reshape(-1), cell, count)


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
    replaced = ratings.replaced_at < len(ratings.user)
    re_rates = np.logical_or.reduceat(replaced, ratings.starts[:-1]) if len(replaced) else replaced
    amended = re_rates[ratings.user]
    active = (end > begin) & (np.arange(len(end)) < end)
    _add_looked_at(sums, ratings, deviation, np.flatnonzero(active & ~amended), begin, end)
    rows = np.flatnonzero(active & amended)
    if len(rows):
        formed = np.maximum(rows, begin[rows]), np.minimum(ratings.leaves[rows], end[rows])
        _add_each(sums, ratings, deviation, rows, *formed, sign=1)
        undone = rows, np.minimum(ratings.leaves[rows], end[rows])
        _add_each(sums, ratings, deviation, rows, *undone, sign=-1, gone=(begin, end))


def _within_user(ratings: Lookback, chosen: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """For each rating: from where to where its user's ``chosen`` ratings lie, which follow on each other."""
    before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(chosen)])
    count = np.diff(before[ratings.starts])
    place = np.append(np.flatnonzero(chosen), len(chosen))[before[ratings.starts[:-1]]]
    return place[ratings.user], (place + count)[ratings.user]


def _add_looked_at(
    sums: PairSums, ratings: Lookback, deviation: Ints, rows: Ints, begin: Ints, end: Ints
) -> None:
    """Add pairs of users without re-ratings as sparse products: a rating's partners follow on each other.

    Ratings with the same partners, such as all those of a user with few, share a row of the right factor.
    """
    rows = rows[sums.has(ratings.movie[rows])]
    first = np.where(rows < begin[rows], begin[rows], ratings.begin[rows])
    last = np.minimum(ratings.leaves[rows], end[rows])
    rows, first, last = (values[last > first] for values in (rows, first, last))
    lead = runs(first, last)
    group = np.repeat(np.arange(len(lead) - 1), np.diff(lead))
    first, last = first[lead[:-1]], last[lead[:-1]]
    for batch in batches(last - first, at_most=PAIRS_AT_ONCE):
        partner, offset = expanded(first[batch], last[batch])
        own = slice(lead[batch.start], lead[batch.stop])
        left = ratings.movie[rows[own]].astype(np.int64) - sums.first, group[own] - batch.start
        _add_product(sums, left, deviation[rows[own]], ratings.movie[partner], deviation[partner], offset)


def _add_product(
    sums: PairSums, left: tuple[Ints, Ints], own: Ints, columns: Indices, others: Ints, offset: Ints
) -> None:
    """Add ``left`` (movie, group) times (group, ``columns``), once with values and once with ones."""
    groups = len(offset) - 1
    ones = np.ones(max(len(own), len(others)), np.int32)
    factors: list[tuple[Cells, Cells, Cells]] = [
        (sums.products, own, others),
        (sums.counts, ones[: len(own)], ones[: len(others)]),
    ]
    for target, values, partners in factors:
        by_group = sp.csr_array((partners, columns, offset), shape=(groups, target.shape[1]))
        by_movie = sp.csr_array((values, left), shape=(len(target), groups))
        found = by_movie @ by_group
        row = np.repeat(np.arange(len(target)) * target.shape[1], np.diff(found.indptr))
        target.reshape(-1)[row + found.indices] += found.data


def _add_each(
    sums: PairSums,
    ratings: Lookback,
    deviation: Ints,
    rows: Ints,
    first: Ints,
    last: Ints,
    *,
    sign: int,
    gone: tuple[Ints, Ints] | None = None,
) -> None:
    """Add the pairs of each row with the later places from ``first`` to ``last``, one by one.

    With ``gone``, only those of which a rating is replaced from its place of ``gone`` on, up to the other.
    """
    last = np.maximum(first, last)
    for batch in batches(last - first, at_most=PAIRS_AT_ONCE):
        later, offset = expanded(first[batch], last[batch])
        earlier = np.repeat(rows[batch], np.diff(offset))
        kept = later != ratings.replaced_at[earlier]
        if gone is not None:
            replaced_at = np.minimum(ratings.replaced_at[earlier], ratings.replaced_at[later])
            kept &= (replaced_at >= gone[0][earlier]) & (replaced_at < gone[1][earlier])
        earlier, later = earlier[kept], later[kept]
        for one, other in ((earlier, later), (later, earlier)):
            inside = sums.has(ratings.movie[one])
            if one is later:  # a rating's pair with itself counts once
                inside &= earlier != later
            i, j = one[inside], other[inside]
            sums.add(ratings.movie[i], ratings.movie[j], sign * deviation[i] * deviation[j], sign)
