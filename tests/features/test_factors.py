from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taste_log import MOVIES, Rating, column, logs, look_back, looked_at, requests, rows_of

from movierate_spark.features import factors
from movierate_spark.features.factors import (
    RANK,
    RIDGE_MOVIE,
    RIDGE_USER,
    after_sweeps,
    first_vectors,
    movie_vectors,
    scores,
    sweep_sums,
    user_vectors,
)
from movierate_spark.features.pairs import DEVIATION_UNITS

lasts = st.integers(1, 6)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
deviation_tables = st.lists(
    st.dictionaries(st.integers(0, MOVIES - 1), st.integers(-3000, 3000)), min_size=1, max_size=8
)


def vectors_of(movies: int = MOVIES) -> np.ndarray:
    """Of the size that is learnt, and zeros for a movie without a vector."""
    return np.vstack([first_vectors(np.arange(movies)) * 5, np.zeros((1, RANK))])


def matrix(users: list[dict[int, int]]) -> sp.csr_array:
    row = [i for i, rated in enumerate(users) for _ in rated]
    movie = [movie for rated in users for movie in rated]
    values = np.array([value for rated in users for value in rated.values()], dtype=np.int64)
    return sp.csr_array((values, (row, movie)), shape=(len(users), MOVIES))


def ridge(vectors: np.ndarray, values: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(vectors.T @ vectors + penalty * np.eye(RANK), vectors.T @ values)


# ---- learning -----------------------------------------------------------------------------------


def test_first_vectors_follow_from_the_movies_id_alone() -> None:
    vectors = first_vectors(np.array([1, 2, 3_952, 2**40]))
    assert (vectors[2] == first_vectors(np.array([3_952]))[0]).all()
    assert len(np.unique(vectors)) == vectors.size
    assert np.abs(vectors).max() < 0.2
    assert abs(first_vectors(np.arange(10_000)).mean()) < 0.001


@unhurried
@given(deviation_tables)
def test_a_sweep_is_that_of_plain_ridge_regressions(users: list[dict[int, int]]) -> None:
    vectors = vectors_of()[:MOVIES]
    solution = after_sweeps([matrix(users)], vectors, sweeps=1)
    own = [
        ridge(vectors[list(rated)], np.array(list(rated.values())) / DEVIATION_UNITS, RIDGE_USER)
        for rated in users
    ]
    for movie in range(MOVIES):
        raters = [i for i, rated in enumerate(users) if movie in rated]
        values = np.array([users[i][movie] for i in raters]) / DEVIATION_UNITS
        known = np.array([own[i] for i in raters]).reshape(-1, RANK)
        assert solution[movie] == pytest.approx(ridge(known, values, RIDGE_MOVIE), abs=1e-7)


@unhurried
@given(deviation_tables, st.lists(st.integers(0, 2), min_size=8, max_size=8), st.permutations(range(8)))
def test_a_sweep_is_the_same_to_the_bit_however_users_are_dealt_out(
    monkeypatch: pytest.MonkeyPatch, users: list[dict[int, int]], task: list[int], order: list[int]
) -> None:
    vectors = vectors_of()[:MOVIES]
    whole = sweep_sums(matrix(users), vectors)
    monkeypatch.setattr(factors, "SOLVED_AT_ONCE", 2)
    dealt = [[users[i] for i in order if i < len(users) and task[i] == number] for number in range(3)]
    parts = [sweep_sums(matrix(some), vectors) for some in dealt if some]
    assert (np.sum(parts, axis=0) == whole).all()
    assert (movie_vectors(np.sum(parts, axis=0)) == movie_vectors(whole)).all()


def test_a_movie_without_ratings_has_no_vector() -> None:
    assert not after_sweeps([matrix([{0: 500}])], vectors_of()[:MOVIES], sweeps=2)[1:].any()


def test_planted_taste_is_found() -> None:
    random = np.random.default_rng(0)
    taste, kind = random.normal(size=300), random.normal(size=40)
    true = np.outer(taste, kind)
    seen = random.random(true.shape) < 0.5
    values = np.rint(np.where(seen, true, 0) * DEVIATION_UNITS).astype(np.int64)
    row, movie = np.nonzero(seen)
    ratings = sp.csr_array((values[seen], (row, movie)), shape=true.shape)
    vectors = after_sweeps([ratings], first_vectors(np.arange(40)), sweeps=10)
    people = np.array([ridge(vectors[seen[i]], true[i, seen[i]], RIDGE_USER) for i in range(300)])
    assert np.corrcoef((people @ vectors.T)[~seen], true[~seen])[0, 1] > 0.95


# ---- as of a row --------------------------------------------------------------------------------


@unhurried
@given(logs, requests, lasts, st.sampled_from([1, 10, 16_384]))
def test_a_users_vector_is_a_ridge_regression_of_what_he_looks_back_at(
    monkeypatch: pytest.MonkeyPatch,
    log: list[Rating],
    queries: list[tuple[int, int, int]],
    last: int,
    at_once: int,
) -> None:
    monkeypatch.setattr(factors, "PLACES_AT_ONCE", at_once)
    queries, vectors, residual = sorted(queries), vectors_of(), column(log, "value")
    rows, ratings = rows_of(log, queries), look_back(log, last=last)
    solutions = user_vectors(ratings, residual, vectors, rows)
    for i, (user, _, _) in enumerate(queries):
        places = looked_at(log, user, int(rows.end[i]), last=last)
        above = residual[places] / DEVIATION_UNITS - rows.level[i]
        known = vectors[[log[place].movie for place in places]].reshape(-1, RANK)
        assert solutions[i] == pytest.approx(ridge(known, above, RIDGE_USER), abs=1e-7)
    assert scores(ratings, residual, vectors, rows) == pytest.approx(
        (solutions * vectors[rows.movie]).sum(axis=1)
    )


@unhurried
@given(logs, requests, lasts, st.sets(st.integers(0, 4)))
def test_scores_are_the_same_to_the_bit_however_users_are_dealt_out(
    log: list[Rating], queries: list[tuple[int, int, int]], last: int, some: set[int]
) -> None:
    queries, results = sorted(queries), {}
    for users in ({0, 1, 2, 3, 4}, some, {0, 1, 2, 3, 4} - some):
        part, index = [r for r in log if r.user in users], [i for i, a in enumerate(queries) if a[0] in users]
        rows = rows_of(part, [queries[i] for i in index])
        values = scores(look_back(part, last=last), column(part, "value"), vectors_of(), rows)
        for i, value in zip(index, values.tolist(), strict=True):
            assert results.setdefault(i, value) == value


@unhurried
@given(logs, logs, requests, lasts)
def test_a_score_knows_nothing_of_its_second_and_later_ones(
    log: list[Rating], other: list[Rating], queries: list[tuple[int, int, int]], last: int
) -> None:
    before = [rating for rating in log if rating.second < 8]
    changed = sorted([*before, *(rating for rating in other if rating.second >= 8)])
    queries = sorted(request for request in queries if request[1] <= 8)
    results = [
        scores(
            look_back(some, last=last), column(some, "value"), vectors_of(), rows_of(some, queries)
        ).tolist()
        for some in (log, before, changed)
    ]
    assert results[0] == results[1] == results[2]


def test_who_has_rated_nothing_is_expected_to_rate_as_usual() -> None:
    log = [Rating(0, 0, 0, 900), Rating(2, 0, 1, -900)]
    rows = rows_of(log, [(0, 0, 1), (1, 5, 0), (3, 9, 0)])
    assert scores(look_back(log, last=9), column(log, "value"), vectors_of(), rows).tolist() == [0, 0, 0]
