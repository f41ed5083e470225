"""Nothing about fewer than ``min_cell`` people is shown, nor can it be worked out from what is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd


def shown(cells: pd.DataFrame, *, within: Sequence[Sequence[str]] = ((),), min_cell: int) -> pd.Series:
    """Which cells may be shown; each of ``within`` names what parts them into sets that add up to a total.

    A cell of fewer people is hidden. A total less the other cells would give it away, so that in a set
    with a single hidden cell the smallest of the others is hidden too, and where those hidden are fewer
    people together, the next (complementary suppression; Hundepool et al. 2012, Statistical Disclosure
    Control, section 4.3). What is hidden for one total may call for more beside it in another, until
    nothing changes. Ties go by the order of the rows.
    """
    hidden = cells["people"] < min_cell
    sets = [index for names in within for index in _sets(cells, names)]
    changed = True
    while changed:
        changed = False
        for index in sets:
            kept, gone = index[~hidden[index]], index[hidden[index]]
            too_few = len(gone) == 1 or cells.loc[gone, "people"].sum() < min_cell
            if len(gone) and len(kept) and too_few:
                hidden[cells.loc[kept, "people"].idxmin()] = changed = True
    return ~hidden


def _sets(cells: pd.DataFrame, names: Sequence[str]) -> list[pd.Index]:
    return list(cells.groupby(list(names), sort=False).groups.values()) if names else [cells.index]


def people_or_none(people: pd.Series, *, total: int, min_cell: int) -> pd.Series:
    """Numbers of people, missing where the total would tell how few the others are."""
    others = total - people
    return people.astype(float).where((others == 0) | (others >= min_cell))


def merged(bins: pd.DataFrame, *, at_least: Mapping[str, int], overlapping: bool = False) -> pd.DataFrame:
    """Neighbouring bins joined until each has ``at_least`` so much in the columns named.

    ``bins``: ascending, with ``first`` and ``last``, what the bin spans; all other columns are added up, but
    for ``people`` where bins are ``overlapping``: the most of any of them is then what is sure. The rest at
    the end joins the last bin. Bins that never reach it together are left out.
    """
    rows: list[dict[str, Any]] = []
    open_: dict[str, Any] | None = None
    for bin_ in bins.to_dict("records"):
        open_ = _named(bin_) if open_ is None else _joined(open_, bin_, overlapping=overlapping)
        if all(open_[name] >= least for name, least in at_least.items()):
            rows.append(open_)
            open_ = None
    if open_ is not None and rows:
        rows[-1] = _joined(rows[-1], open_, overlapping=overlapping)
    return pd.DataFrame(rows, columns=bins.columns)


def _named(bin_: Mapping[Hashable, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in bin_.items()}


def _joined(one: Mapping[str, Any], other: Mapping[Any, Any], *, overlapping: bool) -> dict[str, Any]:
    joined = {name: one[name] + other[name] for name in one if name not in ("first", "last")}
    if overlapping:
        joined["people"] = max(one["people"], other["people"])
    return {**joined, "first": one["first"], "last": other["last"]}
