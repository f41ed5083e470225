"""Where the log of ratings is cut in time: what is learnt for a block comes from the blocks before it only.

The borders follow from earlier ratings alone: the first one lies after ``first`` ratings, and each further
one where the log has grown by ``growth``. So no border moves when the log grows, and there are few of them
however long it gets: with doublings, what is learnt anew at each of them costs about twice as much in all as
at the last one. Others are *forced*: where training ends, for one, so that nothing older is used later.

Block 0 lies before the first border, and nothing is known in it.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, takewhile

import numpy as np

from movierate_spark.features.earlier import Ints


def ratings_before_borders(total: int, *, first: int, growth: float) -> Ints:
    """After how many ratings, of ``total`` in order of time, each border lies: ``first * growth ** k``.

    Ascending, at most ``total``, each once.

    Raises:
        ValueError: ``first`` is below 1, or ``growth`` not above 1.
    """
    if first < 1 or growth <= 1:
        raise ValueError(f"first {first} and growth {growth:g}: first is at least 1, and growth above 1")
    before = list(takewhile(lambda ratings: ratings <= total, (int(first * growth**k) for k in count())))
    return np.unique(np.array(before, dtype=np.int64))


def borders(second: Ints, ratings: Ints, *, first: int, growth: float, forced: Collection[int] = ()) -> Ints:
    """The first second of each block but block 0, ascending.

    ``second`` are epoch seconds, ascending, each once, and ``ratings`` how many ratings each of them has. A
    border is a whole second: the one after that in which its rating was made, so that all of a second's
    ratings lie in one block. ``forced`` seconds are borders, too, and change no other.
    """
    reached = np.cumsum(ratings, dtype=np.int64)
    total = int(reached[-1]) if len(reached) else 0
    at_borders = ratings_before_borders(total, first=first, growth=growth)
    after = second[np.searchsorted(reached, at_borders)] + 1
    return np.union1d(after, np.array(sorted(forced), dtype=np.int64))


def time_block(second: Ints, borders: Ints) -> Ints:
    """The block of each second: how many borders are at or before it."""
    return np.searchsorted(borders, second, side="right").astype(np.int64)
