"""Small logs of ratings, and what the taste columns are made of, by plain loops over them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from movierate_spark.features.earlier import next_of_same
from movierate_spark.features.lookback import Lookback, Rows, lookback

MOVIES = 5


class Rating(NamedTuple):
    user: int
    second: int
    movie: int
    value: int


def _ordered(rows: list[tuple[int, int, int, int]]) -> list[Rating]:
    """In order; a user rates a movie at most once in a second."""
    unique = {(user, second, movie): value for user, second, movie, value in rows}
    return [Rating(*key, value) for key, value in sorted(unique.items())]


_rating = st.tuples(
    st.integers(0, 3), st.integers(0, 15), st.integers(0, MOVIES - 1), st.integers(-2000, 2000)
)
logs = st.lists(_rating, max_size=60).map(_ordered)
requests = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 16), st.integers(0, MOVIES)), max_size=20)
"""User, second and movie, :data:`MOVIES` for one that no table has; user 4 has rated nothing."""


def column(log: list[Rating], name: str) -> np.ndarray:
    return np.array([getattr(rating, name) for rating in log], dtype=np.int64)


def blocks(log: list[Rating]) -> np.ndarray:
    """Five seconds are a block."""
    return column(log, "second") // 5


def look_back(log: list[Rating], *, last: int, movies: int = MOVIES) -> Lookback:
    user, movie = column(log, "user"), column(log, "movie")
    replaced_at = next_of_same(user * 1000 + movie)
    known = np.where(movie < movies, movie, movies).astype(np.int32)
    return lookback(user, known, replaced_at, movies=movies, last=last)


def rows_of(log: list[Rating], queries: list[tuple[int, int, int]]) -> Rows:
    """The requests in order, with a level that follows from user and second."""
    user, second = column(log, "user"), column(log, "second")
    start = [int((user < who).sum()) for who, _, _ in queries]
    end = [int(((user < who) | ((user == who) & (second < at))).sum()) for who, at, _ in queries]
    movie = np.array([movie for _, _, movie in queries], dtype=np.int32)
    level = np.array([who / 4 - at / 16 for who, at, _ in queries])
    return Rows(np.array(start, dtype=np.int64), np.array(end, dtype=np.int64), movie, level)


def looked_at(log: list[Rating], user: int, end: int, *, last: int) -> list[int]:
    """The places of the user's last ratings before a place, of each movie the latest."""
    latest: dict[int, int] = {}
    for place in range(end):
        if log[place].user == user:
            latest[log[place].movie] = place
    return sorted(latest.values())[-last:]


def pairs(log: list[Rating], *, last: int, until_block: int, far_apart: int = 99) -> list[tuple[int, int]]:
    """Places of the pairs that stand after a block, the earlier rating first."""
    block = blocks(log)
    made = [place for place in range(len(log)) if block[place] <= until_block]
    stands = [
        not any(log[p].user == log[i].user and log[p].movie == log[i].movie and p > i for p in made)
        for i in range(len(log))
    ]
    result = []
    for later in made:
        earlier = looked_at(log, log[later].user, later, last=last)
        others = [p for p in earlier if log[p].movie != log[later].movie]
        result += [
            (p, later) for p in (*others, later) if stands[p] and stands[later] and later - p <= far_apart
        ]
    return result
