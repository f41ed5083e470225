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
        replaced_at = next_of_same(item[self.order][positions])
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
        rows = _touched(self.replaced_at, begin, self.end)
        if len(rows):
            count[rows], total[rows], _ = _last_standing(
                running, self.replaced_at, self.start[rows], self.end[rows], last=last
            )
        return self.past._in_row_order(count), self.past._in_row_order(total)


def begins(start: Ints, end: Ints, replaced_at: Ints, *, last: int) -> Ints:
    """For each row: the place at which its last ``last`` values begin, of those not replaced before ``end``.

    ``replaced_at`` is, for each value, the place of the one that replaces it, the number of values where none
    does. A row whose past holds fewer begins at its ``start``.
    """
    begin = np.maximum(start, end - last)
    rows = _touched(replaced_at, begin, end)
    if len(rows):
        nothing = np.zeros(len(replaced_at) + 1, dtype=np.int64)
        begin[rows] = _last_standing(nothing, replaced_at, start[rows], end[rows], last=last)[2]
    return begin


def _touched(replaced_at: Ints, begin: Ints, end: Ints) -> Ints:
    """The rows that have a value from ``begin`` to ``end`` that is replaced some time."""
    replaced = _running((replaced_at < len(replaced_at)).astype(np.int64))
    return np.flatnonzero(replaced[end] > replaced[begin])


def _last_standing(
    running: Ints, replaced_at: Ints, start: Ints, end: Ints, *, last: int
) -> tuple[Ints, Ints, Ints]:
    """The last ``last`` values before each ``end``, of those not replaced before it: count, sum, begin.

    ``running`` are the sums before each place. Each row goes back from its end, past whole powers of two of
    places at a time where all of them stand or all of them are replaced.
    """
    latest, offset = _extremes(np.maximum, replaced_at)
    soonest, _ = _extremes(np.minimum, replaced_at)
    place, level = end - 1, np.zeros_like(end)
    count, total, begin = np.zeros_like(end), np.zeros_like(end), end.copy()
    active = np.flatnonzero(place >= start)
    while len(active):
        at, height = place[active], level[active]
        size, run = 1 << height, offset[height] + (at >> height)
        fits = (count[active] + size <= last) & (at - size + 1 >= start[active])
        stands = fits & (soonest[run] >= end[active])
        passed = stands | (latest[run] < end[active])
        below = np.where(passed, at - size, at)
        counted, first = active[stands], below[stands] + 1
        count[counted] += size[stands]
        total[counted] += running[at[stands] + 1] - running[first]
        begin[counted] = first
        may_climb = passed & ((below + 1) % (2 * size) == 0)
        place[active], level[active] = below, np.where(passed, height + may_climb, height - 1)
        active = active[(below >= start[active]) & (count[active] < last)]
    return count, total, np.where(count < last, start, begin)


def _extremes(of: np.ufunc, values: Ints) -> tuple[Ints, Ints]:
    """The extreme of each whole run of 1, 2, 4, ... values, one after the other; where each length begins."""
    levels = [values]
    while len(levels[-1]) > 1:
        whole = levels[-1][: len(levels[-1]) // 2 * 2]
        levels.append(of.reduce(whole.reshape(-1, 2), axis=1))
    return np.concatenate(levels), np.cumsum([0, *map(len, levels)])


def next_of_same(item: Ints) -> Ints:
    """For each place the next one of the same item; the number of places where there is none."""
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
