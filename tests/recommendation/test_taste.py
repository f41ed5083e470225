"""What taste adds to log odds by products of matrices is what scoring pair by pair gives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taste_log import MOVIES, Rating, column, logs, look_back, rows_of

from movierate_spark.features import factors, neighbours
from movierate_spark.features.factors import RANK, first_vectors
from movierate_spark.features.lookback import looked_at
from movierate_spark.features.taste_tables import BlockTables, with_unknown
from movierate_spark.recommendation.taste import MovieTaste, TasteCoefficients, UserTaste, added_by_taste

USERS = 5
"""Those of the log, and one who has rated nothing."""


def tables(seed: int) -> BlockTables:
    random = np.random.default_rng(seed)
    cells = neighbours.top(np.maximum(random.normal(size=(MOVIES, MOVIES)), 0), kept=3)
    table = neighbours.neighbours(*cells, movies=MOVIES, kept=3)
    return BlockTables(table, with_unknown(first_vectors(np.arange(MOVIES)) * 5))


def user_batch(log: list[Rating], level: np.ndarray, learnt: BlockTables, *, last: int) -> pa.RecordBatch:
    """The users as top_movies gets them, from what their ratings look at when all of them are past."""
    ratings, stars = look_back(log, last=last), column(log, "value") / 1000
    rows = rows_of(log, [(user, 16, 0) for user in range(USERS)])
    units = column(log, "value")
    past = np.flatnonzero(rows.end > rows.start)
    number, place = looked_at(ratings, rows.end[past])
    vector = np.zeros((USERS, RANK))
    vector[past] = factors.user_vectors(ratings, units, learnt.vectors, rows[past])
    seen: list[list[int]] = [[] for _ in range(USERS)]
    for row, at in zip(past[number].tolist(), place.tolist(), strict=True):
        seen[row].append(at)
    return pa.RecordBatch.from_pydict(
        {
            "user_residual": level,
            "user_spread": 1 + np.arange(USERS) / 8,
            "user_count": pa.array([len(places) for places in seen], pa.int64()),
            "taste_movies": pa.array(
                [[log[at].movie for at in places] for places in seen], pa.list_(pa.int32())
            ),
            "taste_residuals": pa.array(
                [[stars[at] for at in places] for places in seen], pa.list_(pa.float64())
            ),
            "taste_vector": pa.array(vector.tolist(), pa.list_(pa.float64())),
        }
    )


@settings(deadline=None)
@given(logs, st.integers(1, 6), st.integers(0, 5), st.integers(0, USERS - 1))
def test_products_are_the_scores_of_all_pairs(log: list[Rating], last: int, seed: int, cut: int) -> None:
    learnt, index = tables(seed), np.array([1, 0, MOVIES, 4], dtype=np.int32)
    mean_difference, spread = np.array([0.5, -0.25, 0.0, 1.0]), np.array([1.0, 0.5, 1.0, 2.0])
    rows = rows_of(log, [(user, 16, movie) for user in range(USERS) for movie in index.tolist()])
    ratings, units = look_back(log, last=last), column(log, "value")
    scored = neighbours.scores(ratings, units / 1000, learnt.neighbours, rows)
    by_neighbours = scored.score.reshape(USERS, -1)
    by_factors = factors.scores(ratings, units, learnt.vectors, rows).reshape(USERS, -1)
    users = user_batch(log, rows.level[:: len(index)], learnt, last=last)
    by_neighbours *= np.log1p(users["user_count"].to_numpy())[:, None]
    level, own = rows.level.reshape(USERS, -1), users["user_spread"].to_numpy()[:, None]
    expected = (level + mean_difference + by_factors) / (own * spread)
    movies = MovieTaste.of(learnt, index, mean_difference, spread)
    total = 2 * by_neighbours + 3 * by_factors + 5 * expected
    for some in (slice(0, cut), slice(cut, USERS)):
        own_side = UserTaste.of(users.slice(some.start, some.stop - some.start), movies=MOVIES)
        part = added_by_taste(own_side, movies, TasteCoefficients(2.0, 3.0, 5.0))
        assert part == pytest.approx(total[some], abs=1e-10)


def test_in_block_0_only_level_and_means_count() -> None:
    users = user_batch([], np.array([0.5, 0.0, 0.0, 0.0, 0.0]), tables(0), last=3)
    movies = MovieTaste.of(None, np.array([MOVIES], dtype=np.int32), np.array([0.25]), np.array([2.0]))
    values = added_by_taste(UserTaste.of(users, movies=1), movies, TasteCoefficients(2.0, 3.0, 5.0))
    assert values[:2, 0].tolist() == pytest.approx([5 * 0.75 / 2, 5 * 0.25 / (1.125 * 2)])
