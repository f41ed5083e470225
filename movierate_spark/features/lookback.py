"""Which of a user's ratings the taste columns look at: his last ones, of each movie the latest.

Ratings lie in order of user, second and movie, and are known by their *place* in it. A row, be it a rating or
a request, knows its *end*: the place after the last rating of its user that was made in an earlier second. It
looks at the ``last`` ratings before its end that no rating before its end replaces. Each rating enters that
look-back once and leaves it once, so that any sum over it is the sum of those that have entered less the sum
of those that have left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from movierate_spark.features.earlier import Floats, Ints, begins

Indices = NDArray[np.int32]


@dataclass(frozen=True)
class Lookback:
    """Ratings of whole users in order of user, second and movie, and when each is looked at.

    Of each rating: ``user`` (from 0 on, ascending, none left out), ``movie`` (its index in a table of
    ``movies``; that number itself where the table doesn't have it), ``replaced_at`` (the place of the user's
    next rating of the movie, the number of ratings where there is none), ``begin`` (the first place that it
    may look at) and ``leaves``: it is looked at from ``end`` if its place < ``end`` < ``leaves``.
    ``starts`` are the places of each user's first rating, and the number of ratings.
    """

    user: Ints
    movie: Indices
    movies: int
    starts: Ints
    replaced_at: Ints
    begin: Ints
    leaves: Ints


@dataclass(frozen=True)
class Rows:
    """Rows of one time block, ratings or requests, in order of user and second.

    ``start`` and ``end`` bound the places of the user's ratings of earlier seconds, ``movie`` is the index of
    the movie in the block's table, and ``level`` the user's mean residual before the row, in stars.
    """

    start: Ints
    end: Ints
    movie: Indices
    level: Floats

    def __getitem__(self, chosen: Ints | slice | NDArray[np.bool_]) -> Rows:
        """Some of the rows."""
        return Rows(self.start[chosen], self.end[chosen], self.movie[chosen], self.level[chosen])

    def __len__(self) -> int:
        return len(self.end)


def lookback(user: Ints, movie: Indices, replaced_at: Ints, *, movies: int, last: int) -> Lookback:
    """The look-back of ``last`` ratings, from ratings in order; ``user`` are any numbers, ascending."""
    places = np.arange(len(user))
    starts = runs(user)
    number = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    start = starts[number]
    after = begins(start, places + 1, replaced_at, last=last)
    begin = np.where(places == start, places, np.roll(after, 1))
    left_behind = np.searchsorted(after, places, side="right") + 1
    leaves = np.minimum(left_behind, replaced_at + 1)
    return Lookback(number, movie, movies, starts, replaced_at, begin, leaves)


def looked_at(ratings: Lookback, end: Ints) -> tuple[Ints, Ints]:
    """Which ratings rows of these ``end`` look at: the row's number and the rating's place, in order of both.

    Each row's user has a rating before its end.
    """
    first = ratings.begin[end - 1]
    place, offset = expanded(first, end)
    number = np.repeat(np.arange(len(end)), np.diff(offset))
    stands = ratings.leaves[place] > end[number]
    return number[stands], place[stands]


def expanded(first: Ints, end: Ints) -> tuple[Ints, Ints]:
    """The numbers from each ``first`` up to its ``end``, and at which of them each range begins."""
    offset = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(end - first)])
    return np.arange(offset[-1]) + np.repeat(first - offset[:-1], end - first), offset


def batches(sizes: Ints, *, at_most: int) -> Iterator[slice]:
    """Cut pieces, in order, into batches of together ``at_most``; a larger piece is alone in its batch."""
    total, begin = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)]), 0
    while begin < len(sizes):
        end = max(int(np.searchsorted(total, total[begin] + at_most, side="right")) - 1, begin + 1)
        yield slice(begin, end)
        begin = end


def runs(*ordered: Ints | Floats) -> Ints:
    """Where a row differs from the one before in any of the arrays, and, last, how many rows there are."""
    size = len(ordered[0])
    is_new = np.zeros(size, dtype=bool)
    is_new[:1] = True
    for values in ordered:
        is_new[1:] |= values[1:] != values[:-1]
    return np.append(np.flatnonzero(is_new), size)
