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
    counts, sums = past.recent(np.array([1, 2, 4, 8, 16]), counted, last=2)
    assert counts.tolist() == [0, 1, 1, 2, 2]
    assert sums.tolist() == [0, 1, 1, 5, 12]


@given(st.lists(row, max_size=30))
def test_totals_are_those_of_a_plain_loop_in_any_order(rows: list[tuple[int, int, int, bool]]) -> None:
    group, second, value, _ = arrays(rows)
    expected = [sum(v for g, s, v, _ in rows if g == g0 and s < s0) for g0, s0, _, _ in rows]
    assert earlier(group, second).totals(value).tolist() == expected


@given(st.lists(row, max_size=30), st.integers(1, 4))
def test_recent_is_that_of_a_plain_loop(rows: list[tuple[int, int, int, bool]], last: int) -> None:
    group, second, value, counted = arrays(rows)
    tie = np.arange(len(rows))
    counts, sums = earlier(group, second, tie).recent(value, counted, last=last)
    for i, (g0, s0, _, _) in enumerate(rows):
        past = sorted((s, j, v) for j, (g, s, v, c) in enumerate(rows) if g == g0 and s < s0 and c)[-last:]
        assert (counts[i], sums[i]) == (len(past), sum(v for _, _, v in past))


def test_a_mean_of_nothing_is_the_prior() -> None:
    assert shrunk(0, 0, prior=3.5, shrinkage=2.0) == 3.5
    assert shrunk(10.0, 2, prior=3.0, shrinkage=2.0) == 4.0
