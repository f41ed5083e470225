"""The movies that may be recommended, and their parts of the log odds, measured by *probes*.

Probes are artificial users and movies without ratings, with at most one known attribute. A part is a
difference of the model's log odds for two pairs: with and without the movie, the user or the attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.features.task_history import GROUPS

NOBODY = -1

Floats = NDArray[np.float64]


def may_be_recommended(
    movies: DataFrame, *, genres: Sequence[str], year_min: int | None, year_max: int | None
) -> DataFrame:
    """The movies with one of ``genres`` (any movie if empty), from ``year_min`` to ``year_max``, if given."""
    conditions: list[Column] = []
    if genres:
        conditions.append(F.arrays_overlap("genres", F.array(*map(F.lit, genres))))
    if year_min is not None:
        conditions.append(F.col("year") >= year_min)
    if year_max is not None:
        conditions.append(F.col("year") <= year_max)
    for condition in conditions:
        movies = movies.where(condition)
    return movies


def unknown_genre(movies: DataFrame, genres: Sequence[str]) -> str | None:
    """Which of ``genres`` no movie is of, and which genres there are, as a text; None if all are known."""
    known = {row[0] for row in movies.select(F.explode("genres")).distinct().collect()} if genres else set()
    unknown = sorted(set(genres) - known)
    return f"no movie is of {unknown[0]}; there are {'|'.join(sorted(known))}" if unknown else None


@dataclass(frozen=True)
class Probes:
    """Probe movies, each with one genre or one decade, and probe users, each with one value of a group.

    Probe movies have the ids -1 (no genre, no year), then -2, -3, ... for ``genres`` and ``decades`` (their
    first years). Probe users have the ids -1 (nothing known), then -2, -3, ... for ``values``, pairs of group
    and value.
    """

    genres: Sequence[str]
    decades: Sequence[int]
    values: Sequence[tuple[str, str]]

    @property
    def movies(self) -> list[tuple[int, str | None, int | None, list[str]]]:
        """Rows of probe movies: movie_id, title, year, genres."""
        kinds: list[tuple[int | None, list[str]]] = [
            (None, []), *((None, [genre]) for genre in self.genres), *((year, []) for year in self.decades)
        ]  # fmt: skip
        return [(NOBODY - i, None, year, genres) for i, (year, genres) in enumerate(kinds)]

    @property
    def users(self) -> list[tuple[int | str | None, ...]]:
        """Rows of probe users: user_id, gender, age_group, occupation; None is unknown."""
        kinds = [("", ""), *self.values]
        return [
            (NOBODY - i, *(value if group == name else None for group in GROUPS))
            for i, (name, value) in enumerate(kinds)
        ]


@dataclass(frozen=True)
class MovieSide:
    """The movies that may be recommended, sorted by id, and their parts of the log odds.

    ``own`` is the part of the movie alone. ``by_taste`` (movies x genres and decades) are the weights of a
    user's tastes. ``by_group`` (values x movies) is the part of each value of a group; its last row, for
    unknown, is 0.
    """

    movie_id: NDArray[np.int64]
    own: Floats
    by_taste: Floats
    by_group: Floats


def movie_side(
    probes: Probes,
    movie_id: NDArray[np.int64],
    genres: Sequence[Sequence[str]],
    year: Sequence[int | None],
    logits: Floats,
    nobody: Floats,
) -> MovieSide:
    """The movies' parts, from ``logits`` (probe users x movies) and ``nobody`` (the same, probe movie -1)."""
    base = nobody[0]
    own = logits[0] - base
    by_group = logits[1:] - nobody[1:, None] - own[None, :]
    tastes = np.zeros((len(movie_id), len(probes.genres) + len(probes.decades)))
    genre_at = {genre: i for i, genre in enumerate(probes.genres)}
    decade_at = {first: len(probes.genres) + i for i, first in enumerate(probes.decades)}
    for row, (movie_genres, movie_year) in enumerate(zip(genres, year, strict=True)):
        for genre in movie_genres:
            tastes[row, genre_at[genre]] = 1 / len(movie_genres)
        if movie_year is not None:
            tastes[row, decade_at[movie_year // 10 * 10]] = 1
    unknown = np.zeros((1, len(movie_id)))
    return MovieSide(movie_id, own, tastes, np.concatenate([by_group, unknown]))
