from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from movierate_spark.features.earlier import earlier, shrunk

row = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(-5, 5), st.booleans())


def arrays(rows: list[tuple[int, int, int, bool]]) -> tuple[np.ndarray, ...]:
    group, second, value, counted = ([r[i] for r in rows] for i in range(4))
    return *(np.array(x, dtype=np.int64) for x in (group, second, value)), np.array(counted, dtype=bool)


def test_totals_stop_before_the_rows_own_second() -> None:
    group, second = np.array([7, 7, 7, 7, 9]), np.array([10, 20, 20, 30, 40])
    past = earlier(group, second)
    assert past.totals(np.array([1, 2, 4, 8, 16])).tolist() == [0, 1, 1, 7, 0]


def test_the_last_ratings_skip_what_is_not_counted() -> None:
    group, second = np.zeros(5, dtype=np.int64), np.array([1, 2, 3, 4, 5])
    past = earlier(group, second)
    counted = np.array([True, False, True, True, True])
    counts, sums = past.recent(counted, np.arange(5)).totals(np.array([1, 2, 4, 8, 16]), last=2)
    assert counts.tolist() == [0, 1, 1, 2, 2]
    assert sums.tolist() == [0, 1, 1, 5, 12]


def test_a_later_row_of_an_item_replaces_the_earlier_one() -> None:
    group, second = np.zeros(6, dtype=np.int64), np.array([1, 2, 3, 4, 5, 6])
    item = np.array([7, 8, 7, 7, 9, 7])
    recent = earlier(group, second).recent(np.ones(6, dtype=bool), item)
    counts, sums = recent.totals(np.array([1, 2, 4, 8, 16, 32]), last=2)
    assert counts.tolist() == [0, 1, 2, 2, 2, 2]
    assert sums.tolist() == [0, 1, 3, 6, 10, 24]


def test_thousands_of_replaced_ratings_are_skipped_in_few_steps() -> None:
    size = 200_000
    item = np.concatenate([[1, 2], np.zeros(size - 2, dtype=np.int64)])
    recent = earlier(np.zeros(size, dtype=np.int64), np.arange(size)).recent(np.ones(size, dtype=bool), item)
    counts, sums = recent.totals(np.arange(size), last=3)
    assert counts.tolist() == [0, 1, 2, *[3] * (size - 3)]
    assert sums.tolist() == [0, 0, 1, *range(3, size)]


@given(st.lists(row, max_size=30))
def test_totals_equal_those_of_a_plain_loop_in_any_order(rows: list[tuple[int, int, int, bool]]) -> None:
    group, second, value, _ = arrays(rows)
    expected = [sum(v for g, s, v, _ in rows if g == g0 and s < s0) for g0, s0, _, _ in rows]
    assert earlier(group, second).totals(value).tolist() == expected


@given(st.lists(row, max_size=40), st.lists(st.integers(0, 3), min_size=40, max_size=40), st.integers(1, 4))
def test_recent_totals_equal_those_of_a_plain_loop(
    rows: list[tuple[int, int, int, bool]], items: list[int], last: int
) -> None:
    group, second, value, counted = arrays(rows)
    tie, item = np.arange(len(rows)), np.array(items[: len(rows)], dtype=np.int64)
    past = earlier(group, second, tie)
    counts, sums = past.recent(counted, group * 4 + item).totals(value, last=last)
    for i, (g0, s0, _, _) in enumerate(rows):
        before = sorted((s, j) for j, (g, s, _, c) in enumerate(rows) if g == g0 and s < s0 and c)
        latest = {items[j]: j for _, j in before}
        stands = [rows[j][2] for _, j in before if latest[items[j]] == j][-last:]
        assert (counts[i], sums[i]) == (len(stands), sum(stands))


def test_a_mean_without_values_is_the_prior() -> None:
    assert shrunk(0, 0, prior=3.5, shrinkage=2.0) == 3.5
    assert shrunk(10.0, 2, prior=3.0, shrinkage=2.0) == 4.0
