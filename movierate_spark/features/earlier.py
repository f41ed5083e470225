"""Totals over strictly earlier seconds, in NumPy over whole arrays.

Values are whole numbers (counts, tenths of stars, fixed-point residuals), so totals are exact: they do not
depend on order, on partitioning or on later rows.
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
    """The past of each row: the rows of its group in strictly earlier seconds.

    ``order`` holds the row numbers by group and time. In that order, the past of the i-th row goes from
    position ``start[i]``, the first row of its group, to before ``end[i]``, the first row of its own second.
    """

    order: Ints
    start: Ints
    end: Ints

    def totals(self, values: Ints) -> Ints:
        """The sum of ``values`` over each row's past; values and result are in the original order of rows."""
        running = _running(values[self.order])
        return self._in_row_order(running[self.end] - running[self.start])

    def recent(self, counted: NDArray[np.bool_], item: Ints) -> Recent:
        """The rows flagged in ``counted`` in each row's past, and of each item only the last one.

        ``item`` numbers the pairs of group and thing (a movie, say): a later row of the same item replaces
        the earlier one.
        """
        positions = np.flatnonzero(counted[self.order])
        start, end = np.searchsorted(positions, self.start), np.searchsorted(positions, self.end)
        replaced_at = _next_of_same(item[self.order][positions])
        return Recent(self, positions, start, end, replaced_at)

    def _in_row_order(self, ordered: Ints) -> Ints:
        values = np.empty_like(ordered)
        values[self.order] = ordered
        return values


@dataclass(frozen=True)
class Recent:
    """The counted rows, and which of them are in each row's past.

    ``positions`` are the counted rows' positions in ``past.order``. ``start`` to before ``end`` are each
    row's past among them. ``replaced_at`` is the index, among them, of the next row of the same item.
    """

    past: Earlier
    positions: Ints
    start: Ints
    end: Ints
    replaced_at: Ints

    def totals(self, values: Ints, *, last: int) -> tuple[Ints, Ints]:
        """For each row: the number and the sum of the values of its last ``last`` rows (or fewer)."""
        ordered = values[self.past.order][self.positions]
        begin = np.maximum(self.start, self.end - last)
        running = _running(ordered)
        count, total = self.end - begin, running[self.end] - running[begin]
        replaced = _running((self.replaced_at < len(self.positions)).astype(np.int64))
        rows = np.flatnonzero(replaced[self.end] > replaced[begin])
        if len(rows):
            count[rows], total[rows] = _last_not_replaced(
                ordered, self.replaced_at, self.start[rows], self.end[rows], last=last
            )
        return self.past._in_row_order(count), self.past._in_row_order(total)


def _last_not_replaced(
    values: Ints, replaced_at: Ints, start: Ints, end: Ints, *, last: int
) -> tuple[Ints, Ints]:
    """Count and sum of the last ``last`` values before each ``end`` that are not replaced before it.

    Each row searches backwards from its end. Where all values of a block are replaced, it skips the block,
    whose length is a power of two. So the number of steps depends on the values counted, not on those
    replaced.
    """
    latest, offset = _block_maxima(replaced_at)
    place, level = end - 1, np.zeros_like(end)
    count, total = np.zeros_like(end), np.zeros_like(end)
    active = np.flatnonzero(place >= start)
    while len(active):
        at, height = place[active], level[active]
        is_current = latest[offset[height] + (at >> height)] >= end[active]
        counts = is_current & (height == 0)
        count[active[counts]] += 1
        total[active[counts]] += values[at[counts]]
        passed = counts | ~is_current
        at = np.where(passed, at - (1 << height), at)
        may_climb = ~is_current & ((at + 1) % (2 << height) == 0)
        place[active], level[active] = at, np.where(passed, height + may_climb, height - 1)
        active = active[(at >= start[active]) & (count[active] < last)]
    return count, total


def _block_maxima(values: Ints) -> tuple[Ints, Ints]:
    """The maxima of complete blocks of 1, 2, 4, ... values, concatenated; the offset of each length."""
    levels = [values]
    while len(levels[-1]) > 1:
        in_pairs = levels[-1][: len(levels[-1]) // 2 * 2]
        levels.append(in_pairs.reshape(-1, 2).max(axis=1))
    return np.concatenate(levels), np.cumsum([0, *map(len, levels)])


def _next_of_same(item: Ints) -> Ints:
    """For each index, the next index of the same item; the number of items if there is none."""
    order = np.argsort(item, kind="stable")
    following = np.append(order[1:], len(item))
    is_last = np.append(item[order][1:] != item[order][:-1], True)[: len(item)]
    next_index = np.empty_like(order)
    next_index[order] = np.where(is_last, len(item), following[: len(item)])
    return next_index


def earlier(group: Ints, second: Ints, *ties: Ints) -> Earlier:
    """The past of each row within its group.

    Rows of the same second are not in each other's past; ``ties`` only orders them.
    """
    order = np.lexsort((*ties, second, group))
    new_group = _changes(group[order])
    return Earlier(order, _last_true(new_group), _last_true(new_group | _changes(second[order])))


def _changes(ordered: Ints) -> NDArray[np.bool_]:
    """True where a value differs from the one before it, and for the first value."""
    return np.concatenate([np.ones(min(1, len(ordered)), dtype=bool), ordered[1:] != ordered[:-1]])


def _last_true(flags: NDArray[np.bool_]) -> Ints:
    """For each position, the last position up to it whose flag is true."""
    return np.maximum.accumulate(np.where(flags, np.arange(len(flags)), 0))


def _running(values: Ints) -> Ints:
    """The sum of the values before each position; the last entry is the sum of all."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values, dtype=np.int64)])


def shrunk(total: Any, count: Any, *, prior: Any, shrinkage: float) -> Any:
    """The mean of ``count`` values that add up to ``total``, shrunk towards ``prior``.

    ``(total + shrinkage * prior) / (count + shrinkage)``: the posterior mean under a prior worth
    ``shrinkage`` observations (Gelman et al., Bayesian Data Analysis, section 2.4).
    """
    return (total + shrinkage * prior) / (count + shrinkage)
