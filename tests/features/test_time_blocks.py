from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movierate_spark.features.time_blocks import borders, ratings_before_borders, time_block

log = st.dictionaries(st.integers(0, 200), st.integers(1, 30), min_size=1)
unhurried = settings(deadline=None)
rule = st.tuples(st.integers(1, 20), st.sampled_from([1.1, 1.5, 2.0, 3.0]))


def cut(log: dict[int, int], first: int, growth: float, forced: tuple[int, ...] = ()) -> list[int]:
    seconds = np.array(sorted(log), dtype=np.int64)
    ratings = np.array([log[second] for second in sorted(log)], dtype=np.int64)
    return borders(seconds, ratings, first=first, growth=growth, forced=forced).tolist()


def test_a_border_lies_in_the_second_after_its_rating() -> None:
    assert cut({10: 2, 20: 1, 30: 1, 40: 5}, 2, 2.0) == [11, 31, 41]


def test_a_second_with_many_ratings_crosses_several_borders_once() -> None:
    assert cut({10: 1, 20: 100}, 2, 2.0) == [21]


def test_before_the_first_ratings_there_is_no_border() -> None:
    assert cut({10: 2}, 3, 2.0) == []
    assert (
        borders(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), first=1, growth=2.0).tolist() == []
    )


def test_forced_borders_join_those_of_the_rule() -> None:
    assert cut({10: 2, 20: 2}, 2, 2.0, forced=(15, 11, 50)) == [11, 15, 21, 50]


def test_a_row_belongs_to_the_block_that_begins_at_or_before_it() -> None:
    assert time_block(np.array([9, 10, 11, 30]), np.array([10, 30])).tolist() == [0, 1, 1, 2]


def test_growth_below_one_would_never_end() -> None:
    with pytest.raises(ValueError, match="growth above 1"):
        ratings_before_borders(10, first=1, growth=1.0)


@unhurried
@given(log, st.dictionaries(st.integers(0, 500), st.integers(1, 30)), rule)
def test_borders_stay_when_the_log_grows(
    log: dict[int, int], later: dict[int, int], rule: tuple[int, float]
) -> None:
    last = max(log)
    grown = log | {last + second: ratings for second, ratings in later.items() if second}
    grown[last] += later.get(0, 0)  # the last second may not be over yet
    before, after = cut(log, *rule), cut(grown, *rule)
    closed = [border for border in after if border <= last]
    assert before[: len(closed)] == closed
    assert set(before) <= set(after)


@unhurried
@given(log, rule)
def test_each_border_is_the_first_second_after_enough_ratings(
    log: dict[int, int], rule: tuple[int, float]
) -> None:
    first, growth = rule
    known = [
        second
        for second in range(max(log) + 2)
        for have, had in [[sum(n for s, n in log.items() if s < b) for b in (second, second - 1)]]
        if any(had < int(first * growth**k) <= have for k in range(80))
    ]
    assert cut(log, first, growth) == known


@unhurried
@given(log, rule)
def test_blocks_are_few_and_in_order(log: dict[int, int], rule: tuple[int, float]) -> None:
    begins = cut(log, *rule)
    assert all(a < b for a, b in pairwise(begins))
    assert len(begins) <= 1 + np.log(1 + sum(log.values())) / np.log(rule[1])
