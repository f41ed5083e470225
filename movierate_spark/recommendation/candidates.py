"""The movies that may be recommended, and what each adds to a user's log odds: read off *probes*.

A probe is a pair of a user or a movie with one that nobody knows: what a pair has beyond its two sides is
what it adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

NOBODY = -1
GROUPS = ("gender", "age_group", "occupation")

Floats = NDArray[np.float64]


def may_be_recommended(
    movies: DataFrame, *, genres: Sequence[str], year_min: int | None, year_max: int | None
) -> DataFrame:
    """The movies of one of the genres (any, where none is named) and of the years."""
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


@dataclass(frozen=True)
class Probes:
    """What is asked of the model: movies that stand for a genre or a decade, users for a value of a group.

    Probe movies have the ids -1 (no genre, no year), -2, -3, ... for ``genres``, then for ``decades``
    (first years); probe users -1 (nothing known), then ``values`` of the groups in order.
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
        """Rows of probe users: user_id and the groups' values, the others unknown."""
        kinds = [("", ""), *self.values]
        return [
            (NOBODY - i, *(value if group == name else None for group in GROUPS))
            for i, (name, value) in enumerate(kinds)
        ]


@dataclass(frozen=True)
class MovieSide:
    """The movies that may be recommended, ascending by id, and what each adds to a user's log odds.

    ``own`` is the movie's part; ``by_taste`` (movies x genres and decades) weighs a user's tastes;
    ``by_group`` (values x movies) is what a value of a group adds, its last row, for unknown, nothing.
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
    """From ``logits`` (probe users x movies) and those of ``nobody``'s probe movie (probe users)."""
    base = nobody[0]
    own = logits[0] - base
    by_group = logits[1:] - nobody[1:, None] - own[None, :]
    tastes = np.zeros((len(movie_id), len(probes.genres) + len(probes.decades)))
    genre_at = {genre: i for i, genre in enumerate(probes.genres)}
    decade_at = {first: len(probes.genres) + i for i, first in enumerate(probes.decades)}
    for row, (of_movie, released) in enumerate(zip(genres, year, strict=True)):
        for genre in of_movie:
            tastes[row, genre_at[genre]] = 1 / len(of_movie)
        if released is not None:
            tastes[row, decade_at[released // 10 * 10]] = 1
    unknown = np.zeros((1, len(movie_id)))
    return MovieSide(movie_id, own, tastes, np.concatenate([by_group, unknown]))
