from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taste_log import MOVIES, Rating, blocks, column, logs, look_back, looked_at, pairs, requests, rows_of

from movierate_spark.features import neighbours
from movierate_spark.features import pairs as pair_sums
from movierate_spark.features.neighbours import DOUBT, SUPPORT, Neighbours, scores, top, weights
from movierate_spark.features.pairs import PairSums, add_block, deviations, no_pairs

lasts = st.integers(1, 6)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def summed(
    log: list[Rating],
    *,
    last: int,
    until_block: int,
    movies: range = range(MOVIES),
    users: set[int] | None = None,
) -> PairSums:
    log = [rating for rating in log if users is None or rating.user in users]
    sums = no_pairs(movies.start, movies.stop, movies=MOVIES)
    for block in range(until_block + 1):
        add_block(sums, look_back(log, last=last), column(log, "value"), blocks(log), block=block)
    return sums


def random_table(kept: int, seed: int = 0) -> Neighbours:
    random = np.random.default_rng(seed)
    cells = top(np.maximum(random.normal(size=(MOVIES, MOVIES)), 0), kept=kept)
    return neighbours.neighbours(*cells, movies=MOVIES, kept=kept)


# ---- sums over pairs ----------------------------------------------------------------------------


def test_a_pair_adds_its_product_to_both_movies_and_a_rating_its_square() -> None:
    log = [Rating(0, 0, 0, 2), Rating(0, 1, 1, -3), Rating(1, 0, 0, 5), Rating(1, 0, 1, 7)]
    sums = summed(log, last=500, until_block=0)
    assert sums.products[:2, :2].tolist() == [[4 + 25, -6 + 35], [-6 + 35, 9 + 49]]
    assert sums.counts[:2, :2].tolist() == [[2, 2], [2, 2]]
    assert not sums.products[2:].any()


def test_a_rating_looks_back_only_so_far() -> None:
    log = [Rating(0, second, second, 1) for second in range(4)]
    assert summed(log, last=2, until_block=0).counts[0, :4].tolist() == [1, 1, 1, 0]


def test_a_pair_counts_in_the_later_ones_block() -> None:
    log = [Rating(0, 4, 0, 2), Rating(0, 5, 1, 3)]
    assert summed(log, last=9, until_block=0).products[0].tolist() == [4, 0, 0, 0, 0]
    assert summed(log, last=9, until_block=1).products[0].tolist() == [4, 6, 0, 0, 0]


def test_a_re_rating_stands_in_the_earlier_ones_place_from_its_block_on() -> None:
    log = [Rating(0, 0, 0, 2), Rating(0, 1, 1, 3), Rating(0, 5, 0, 10)]
    assert summed(log, last=9, until_block=0).products[:2, :2].tolist() == [[4, 6], [6, 9]]
    after = summed(log, last=9, until_block=1)
    assert after.products[:2, :2].tolist() == [[100, 30], [30, 9]]
    assert after.counts[:2, :2].tolist() == [[1, 1], [1, 1]]


@unhurried
@given(
    logs,
    lasts,
    st.integers(0, 3),
    st.integers(0, MOVIES),
    st.sampled_from([1, 7, 8_000_000]),
    st.sampled_from([2, 4, 99]),
)
def test_sums_are_those_of_a_plain_loop(
    monkeypatch: pytest.MonkeyPatch,
    log: list[Rating],
    last: int,
    block: int,
    cut: int,
    at_once: int,
    far_apart: int,
) -> None:
    monkeypatch.setattr(pair_sums, "PAIRS_AT_ONCE", at_once)
    monkeypatch.setattr(pair_sums, "FAR_APART", far_apart)
    products, counts = np.zeros((MOVIES, MOVIES), int), np.zeros((MOVIES, MOVIES), int)
    for i, j in pairs(log, last=last, until_block=block, far_apart=far_apart):
        for a, b in {(i, j), (j, i)}:
            products[log[a].movie, log[b].movie] += log[a].value * log[b].value
            counts[log[a].movie, log[b].movie] += 1
    for movies in (range(cut), range(cut, MOVIES)):
        sums = summed(log, last=last, until_block=block, movies=movies)
        assert sums.products.tolist() == products[movies.start : movies.stop].tolist()
        assert sums.counts.tolist() == counts[movies.start : movies.stop].tolist()


@unhurried
@given(logs, lasts, st.sets(st.integers(0, 3)))
def test_sums_are_the_same_however_users_are_dealt_out(log: list[Rating], last: int, some: set[int]) -> None:
    whole = summed(log, last=last, until_block=3)
    parts = [summed(log, last=last, until_block=3, users=users) for users in (some, {0, 1, 2, 3} - some)]
    assert whole.products.tolist() == (parts[0].products + parts[1].products).tolist()
    assert whole.counts.tolist() == (parts[0].counts + parts[1].counts).tolist()


@unhurried
@given(logs, logs, lasts, st.integers(0, 2))
def test_sums_before_a_block_know_nothing_of_it(
    log: list[Rating], other: list[Rating], last: int, block: int
) -> None:
    first_second = 5 * (block + 1)
    before = [rating for rating in log if rating.second < first_second]
    instead = [rating for rating in other if rating.second >= first_second]
    sums = [summed(some, last=last, until_block=block) for some in (log, before, sorted([*before, *instead]))]
    for changed in sums[1:]:
        assert sums[0].products.tolist() == changed.products.tolist()
        assert sums[0].counts.tolist() == changed.counts.tolist()


def test_a_deviation_is_the_residual_above_the_users_level() -> None:
    residual = np.array([2**20, -(2**19)])
    values = deviations(residual, np.array([0.25, 0.0]), residual_units=2**20)
    assert values.tolist() == [768, -512]


# ---- weights and tables -------------------------------------------------------------------------


def test_a_weight_is_the_squared_cosine_drawn_towards_zero() -> None:
    sums = PairSums(0, np.array([[16, 10], [10, 25]]), np.array([[4, 3], [3, 5]], dtype=np.int32))
    ((movie, matrix),) = weights(sums, np.array([16, 25]))
    expected = (10 / (4 * 5) * (3 / (3 + SUPPORT))) ** 2
    assert movie == 0
    assert matrix == pytest.approx(np.array([[0.0, expected], [expected, 0.0]]), abs=1e-15)


def test_what_is_rated_contrarily_or_never_weighs_nothing() -> None:
    sums = PairSums(0, np.array([[4, -1, 0], [-1, 4, 0], [0, 0, 0]]), np.full((3, 3), 9, dtype=np.int32))
    assert not any(matrix.any() for _, matrix in weights(sums, np.array([4, 4, 0])))


def test_weights_are_the_same_in_both_directions_and_by_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CELLS_AT_ONCE", 8)
    random = np.random.default_rng(1)
    values = random.integers(-50, 50, (40, 9))
    products, counts = values.T @ values, random.integers(1, 9, (9, 9)).astype(np.int32)
    counts = np.maximum(counts, counts.T)
    squares = products.diagonal().copy()
    whole = np.vstack([matrix for _, matrix in weights(PairSums(0, products, counts), squares)])
    part = list(weights(PairSums(4, products[4:], counts[4:]), squares))
    assert (whole == whole.T).all()
    assert (whole[4:] == np.vstack([matrix for _, matrix in part])).all()
    assert [movie for movie, _ in part] == [4, 5, 6, 7, 8]


def test_of_equal_weights_the_movies_that_come_first_are_kept() -> None:
    given_weights = np.array([[0.0, 0.5, 0.2, 0.2, 0.2], [0.1, 0.0, 0.0, 0.0, 0.0]])
    row, column_, weight = top(given_weights, kept=3)
    assert row.tolist() == [0, 0, 0, 1]
    assert column_.tolist() == [1, 2, 3, 0]
    assert weight.tolist() == [0.5, 0.2, 0.2, 0.1]


@unhurried
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5), st.integers(1, 8)
)
def test_top_is_that_of_a_sort(rows: list[list[int]], kept: int) -> None:
    row, column_, weight = top(np.array(rows, dtype=float), kept=kept)
    expected = [
        (i, j)
        for i, values in enumerate(rows)
        for j in sorted(sorted(range(6), key=lambda j: (-values[j], j))[:kept])
        if values[j]
    ]
    assert list(zip(row.tolist(), column_.tolist(), strict=True)) == expected
    assert weight.tolist() == [rows[i][j] for i, j in expected]


def test_free_places_of_a_table_hold_no_movie() -> None:
    table = neighbours.neighbours(
        np.array([0, 2, 2]), np.array([1, 0, 1]), np.array([0.5, 0.25, 1]), movies=3, kept=2
    )
    assert table.neighbour.tolist() == [[1, 3], [3, 3], [0, 1], [3, 3]]
    assert table.weight.tolist() == [[0.5, 0], [0, 0], [0.25, 1], [0, 0]]


# ---- scores -------------------------------------------------------------------------------------


def test_a_score_is_the_weighted_mean_above_the_users_level() -> None:
    log = [Rating(0, 0, 0, 0), Rating(0, 1, 1, 0), Rating(0, 2, 2, 0)]
    table = neighbours.neighbours(np.array([3, 3]), np.array([0, 2]), np.array([0.5, 0.25]), movies=5, kept=2)
    rows = rows_of(log, [(0, 2, 3), (0, 3, 3)])
    level = rows.level
    values = scores(look_back(log, last=9), np.array([1.0, 5.0, -1.0]), table, rows).score
    first = 0.5 * (1.0 - level[0]) / (0.5 + DOUBT)
    both = (0.5 * (1.0 - level[1]) + 0.25 * (-1.0 - level[1])) / (0.75 + DOUBT)
    assert values == pytest.approx([first, both], abs=1e-12)


@unhurried
@given(logs, requests, lasts, st.integers(1, 6), st.integers(0, 5), st.sampled_from([1, 40, 4_000_000]))
def test_scores_are_those_of_a_plain_loop(
    monkeypatch: pytest.MonkeyPatch,
    log: list[Rating],
    queries: list[tuple[int, int, int]],
    last: int,
    kept: int,
    seed: int,
    at_once: int,
) -> None:
    monkeypatch.setattr(neighbours, "CELLS_AT_ONCE", at_once)
    queries = sorted(queries)
    table, rows = random_table(kept, seed), rows_of(log, queries)
    residual = column(log, "value") / 1000
    values = scores(look_back(log, last=last), residual, table, rows).score
    for i, (user, _, movie) in enumerate(queries):
        above = total = 0.0
        for place in looked_at(log, user, int(rows.end[i]), last=last):
            for neighbour, weight in zip(table.neighbour[movie], table.weight[movie].tolist(), strict=True):
                if neighbour == log[place].movie:
                    total += weight
                    above += weight * (residual[place] - rows.level[i])
        assert values[i] == pytest.approx(above / (total + DOUBT), abs=1e-12)


@unhurried
@given(logs, requests, lasts, st.sets(st.integers(0, 4)))
def test_scores_are_the_same_to_the_bit_however_users_are_dealt_out(
    log: list[Rating], queries: list[tuple[int, int, int]], last: int, some: set[int]
) -> None:
    queries, table, results = sorted(queries), random_table(3), {}
    for users in ({0, 1, 2, 3, 4}, some, {0, 1, 2, 3, 4} - some):
        part, index = [r for r in log if r.user in users], [i for i, a in enumerate(queries) if a[0] in users]
        rows = rows_of(part, [queries[i] for i in index])
        values = scores(look_back(part, last=last), column(part, "value") / 1000, table, rows).score
        for i, value in zip(index, values.tolist(), strict=True):
            assert results.setdefault(i, value) == value


def test_ratings_of_movies_that_the_table_does_not_have_do_not_replace_each_other() -> None:
    log = [Rating(0, 0, 7, 0), Rating(0, 1, 0, 0), Rating(0, 2, 8, 0), Rating(0, 3, 9, 0)]
    table = neighbours.neighbours(np.array([1]), np.array([0]), np.array([1.0]), movies=2, kept=1)
    rows = rows_of(log, [(0, 4, 1)] * 2)
    for last, expected in ((3, 1.0), (2, 0.0)):
        values = scores(look_back(log, last=last, movies=2), rows.level[0] + np.ones(4), table, rows).score
        assert values == pytest.approx([expected / (1 + DOUBT * bool(expected))] * 2)
