"""Statistical disclosure control: no figure about fewer than ``min_cell`` people is shown or derivable."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd


def shown(
    cells: pd.DataFrame,
    *,
    within: Sequence[Sequence[str]] = ((),),
    overlapping: Sequence[Sequence[str]] = (),
    min_cell: int,
    hidden: pd.Series | bool = False,
) -> pd.Series:
    """Which cells may be shown, as booleans in the order of ``cells`` (a row per cell, with ``people``).

    Each of ``within`` lists the columns that divide the cells into sets; the total of each set is known
    (an empty list: all cells are one set).
    Cells of fewer than ``min_cell`` people are hidden, and so are those that are ``hidden`` for another
    reason. A single hidden cell could be derived from the total of its set. So as long as a set has only one
    hidden cell, or hidden cells of fewer than ``min_cell`` people together, the smallest cell shown is hidden
    too (complementary suppression; Hundepool et al. 2012, Statistical Disclosure Control, section 4.3). This
    is repeated for all sets until nothing changes. Of equal cells the first is hidden. ``overlapping`` lists
    columns as ``within`` does, for sets whose cells may be about the same people: together, they are at least
    those of the largest cell.
    """
    people = cells["people"]
    hidden = (people < min_cell) | hidden
    sets = [(index, "sum") for names in within for index in _sets(cells, names)]
    sets += [(index, "max") for names in overlapping for index in _sets(cells, names)]
    changed = True
    while changed:
        changed = False
        for index, together in sets:
            shown_cells, hidden_cells = index[~hidden[index]], index[hidden[index]]
            too_few = len(hidden_cells) == 1 or people[hidden_cells].agg(together) < min_cell
            if len(hidden_cells) and len(shown_cells) and too_few:
                hidden[cells.loc[shown_cells, "people"].idxmin()] = changed = True
    return ~hidden


def _sets(cells: pd.DataFrame, names: Sequence[str]) -> list[pd.Index]:
    return list(cells.groupby(list(names), sort=False).groups.values()) if names else [cells.index]


def people_or_none(people: pd.Series, *, total: int, min_cell: int) -> pd.Series:
    """The numbers of people; missing if the total would reveal that fewer than ``min_cell`` others remain."""
    others = total - people
    return people.astype("Int64").where((others == 0) | (others >= min_cell))


def merged(bins: pd.DataFrame, *, at_least: Mapping[str, int], overlapping: bool = False) -> pd.DataFrame:
    """Join neighbouring bins until each has ``at_least`` these values in these columns.

    ``bins`` are ascending, each from ``first`` to ``last``. All other columns are added up, except ``people``
    of ``overlapping`` bins, which share people: the largest number is kept, as a lower bound. Bins left over
    at the end join the last one. If all bins together are too small, the result is empty.
    """
    rows: list[dict[str, Any]] = []
    current: dict[str, Any] | None = None
    for bin_ in bins.to_dict("records"):
        current = _by_name(bin_) if current is None else _joined(current, bin_, overlapping=overlapping)
        if all(current[name] >= least for name, least in at_least.items()):
            rows.append(current)
            current = None
    if current is not None and rows:
        rows[-1] = _joined(rows[-1], current, overlapping=overlapping)
    return pd.DataFrame(rows, columns=bins.columns)


def _by_name(bin_: Mapping[Hashable, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in bin_.items()}


def _joined(one: Mapping[str, Any], other: Mapping[Any, Any], *, overlapping: bool) -> dict[str, Any]:
    joined = {name: one[name] + other[name] for name in one if name not in ("first", "last")}
    if overlapping:
        joined["people"] = max(one["people"], other["people"])
    return {**joined, "first": one["first"], "last": other["last"]}
