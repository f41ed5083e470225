from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movierate_spark.disclosure import merged, shown


def cells(people: list[int], sets: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"set": sets, "people": people})


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ([20, 11, 30], [True, True, True]),  # exactly min_cell is enough
        ([20, 10, 30], [False, False, True]),  # the smallest of the others goes, too
        ([5, 5, 30, 40], [False, False, False, True]),
        ([5, 30], [False, False]),  # nothing is left to hide behind
        ([5], [False]),
    ],
)
def test_a_small_cell_is_hidden_and_the_smallest_beside_it(people: list[int], expected: list[bool]) -> None:
    mask = shown(cells(people, ["a"] * len(people)), within=(("set",),), min_cell=11)
    assert list(mask) == expected


def test_cells_that_overlap_may_be_about_the_same_few_people() -> None:
    months = cells([6, 6, 20, 30], ["a"] * 4)
    assert list(shown(months, min_cell=11)) == [False, False, True, True]
    assert list(shown(months, within=(), overlapping=((),), min_cell=11)) == [False, False, False, True]


def test_a_cell_that_is_hidden_for_another_reason_can_not_be_derived() -> None:
    mask = shown(cells([20, 30, 40], ["a"] * 3), min_cell=11, hidden=pd.Series([False, True, False]))
    assert list(mask) == [False, False, True]


def test_each_set_has_its_own_total() -> None:
    mask = shown(cells([5, 30, 40, 50, 60], ["a", "a", "a", "b", "b"]), within=(("set",),), min_cell=11)
    assert list(mask) == [False, False, True, True, True]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(2, 15))
def test_no_hidden_number_of_people_can_be_derived_from_the_total(people: list[int], min_cell: int) -> None:
    mask = shown(cells(people, ["a"] * len(people)), min_cell=min_cell)
    hidden = [n for n, is_shown in zip(people, mask, strict=True) if not is_shown]
    assert all(n >= min_cell for n, is_shown in zip(people, mask, strict=True) if is_shown)
    assert not hidden or sum(hidden) >= min_cell or len(hidden) == len(people)


@given(st.lists(st.lists(st.integers(0, 40), min_size=4, max_size=4), min_size=1, max_size=5))
def test_no_hidden_cell_of_a_grid_can_be_derived_from_its_row_or_column(grid: list[list[int]]) -> None:
    rows = [(i, j, people) for i, row in enumerate(grid) for j, people in enumerate(row)]
    table = pd.DataFrame(rows, columns=["row", "column", "people"])
    hidden = ~shown(table, within=(("row",), ("column",)), min_cell=11)
    for name in ("row", "column"):
        for _, part in table.groupby(name):
            gone = part[hidden[part.index]]["people"]
            assert gone.empty or (len(gone) > 1 and gone.sum() >= 11) or len(gone) == len(part)


def bins(people: list[int], ratings: list[int]) -> pd.DataFrame:
    first = list(range(len(people)))
    return pd.DataFrame({"first": first, "last": first, "people": people, "ratings": ratings})


def test_neighbouring_bins_are_joined_until_they_are_large_enough() -> None:
    table = merged(bins([3, 8, 20, 1, 1], [3, 16, 60, 4, 5]), at_least={"people": 11})
    assert table.to_dict("records") == [
        {"first": 0, "last": 1, "people": 11, "ratings": 19},
        {"first": 2, "last": 4, "people": 22, "ratings": 69},
    ]


def test_people_of_overlapping_bins_may_be_the_same_ones() -> None:
    table = merged(bins([8, 8, 12, 3], [9, 9, 9, 9]), at_least={"people": 11}, overlapping=True)
    assert table.to_dict("records") == [{"first": 0, "last": 3, "people": 12, "ratings": 36}]


def test_bins_that_stay_too_small_together_are_left_out() -> None:
    assert merged(bins([3, 4], [3, 4]), at_least={"people": 11}).empty


@given(st.lists(st.integers(0, 30), max_size=12), st.booleans())
def test_joined_bins_are_all_large_enough_and_lose_nothing(people: list[int], overlapping: bool) -> None:
    before = bins(people, people)
    after = merged(before, at_least={"people": 11}, overlapping=overlapping)
    assert (after["people"] >= 11).all()
    assert after.empty or after["ratings"].sum() == sum(people)
