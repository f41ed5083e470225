"""Totals over strictly earlier seconds, in NumPy over whole arrays.

Values are whole numbers (counts, tenths of stars, fixed-point residuals), so a total is exact: the
same in any order and partitioning, and whether or not later rows exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Earlier:
    """Rows in groups, and for each row where its past begins and ends.

    ``order`` lists the rows by group and time; ``start`` and ``end`` bound each row's past in that
    order: from its group's first row up to, not including, the first row of its own second.
    """

    order: Ints
    start: Ints
    end: Ints

    def totals(self, values: Ints) -> Ints:
        """For each row, in the order given: the sum of ``values`` over its past."""
        running = _running(values[self.order])
        return self._as_given(running[self.end] - running[self.start])

    def recent(self, values: Ints, counted: NDArray[np.bool_], *, last: int) -> tuple[Ints, Ints]:
        """For each row: how many of the ``last`` rows ``counted`` in its past there are, and their sum."""
        chosen = np.flatnonzero(counted[self.order])
        running = _running(values[self.order][chosen])
        end = np.searchsorted(chosen, self.end)
        start = np.maximum(np.searchsorted(chosen, self.start), end - last)
        return self._as_given(end - start), self._as_given(running[end] - running[start])

    def _as_given(self, ordered: Ints) -> Ints:
        values = np.empty_like(ordered)
        values[self.order] = ordered
        return values


def earlier(group: Ints, second: Ints, *ties: Ints) -> Earlier:
    """The past of each row within its group.

    Rows of one second never see each other; ``ties`` only gives them an order among themselves.
    """
    order = np.lexsort((*ties, second, group))
    new_group = _changes(group[order])
    return Earlier(order, _last_true(new_group), _last_true(new_group | _changes(second[order])))


def _changes(ordered: Ints) -> NDArray[np.bool_]:
    """Where a value differs from the one before; the first always does."""
    return np.concatenate([np.ones(min(1, len(ordered)), dtype=bool), ordered[1:] != ordered[:-1]])


def _last_true(flags: NDArray[np.bool_]) -> Ints:
    """For each position, the last one up to it with a true flag."""
    return np.maximum.accumulate(np.where(flags, np.arange(len(flags)), 0))


def _running(values: Ints) -> Ints:
    """Sums before each position, and of all values at the end."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values, dtype=np.int64)])


def shrunk(total: Any, count: Any, *, prior: Any, shrinkage: float) -> Any:
    """The mean of ``count`` values that add up to ``total``, drawn towards ``prior``.

    ``(total + shrinkage * prior) / (count + shrinkage)``: the posterior mean under a prior worth
    ``shrinkage`` observations (Gelman et al., Bayesian Data Analysis, section 2.4).
    """
    return (total + shrinkage * prior) / (count + shrinkage)
