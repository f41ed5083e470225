"""The best movies for every user by blocked matrix products, from log odds that the model itself gave.

The model's log odds are a sum of what depends on the user, on the movie, and on both: the user's taste for
each of the movie's genres (averaged) and for its decade, and how people of his gender, age group and
occupation rate the movie. Each of these parts is read off *probes*, pairs of a user or a movie with one
that nobody knows: what a pair has beyond its two sides is what it adds. So nothing of the features is
written twice, and the pairs that are scored one by one are few: not users times movies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, IntegerType, LongType, StructField, StructType

NOBODY = -1
GROUPS = ("gender", "age_group", "occupation")
CELLS_AT_ONCE = 4_000_000
DECIMALS = 9
TOP = StructType(
    [
        StructField("user_id", LongType()),
        StructField("rank", IntegerType()),
        StructField("movie_id", LongType()),
        StructField("logit", DoubleType()),
    ]
)
USER_SIDE = StructType(
    [
        StructField("user_id", LongType()),
        *(StructField(f"{group}_value", IntegerType()) for group in GROUPS),
        StructField("logits", ArrayType(DoubleType())),
        StructField("seen", ArrayType(LongType())),
    ]
)

Floats = NDArray[np.float64]


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


def top_movies(users: DataFrame, side: MovieSide, nobody: Floats, *, count: int) -> DataFrame:
    """The ``count`` best unseen movies of each user: user_id, rank (1 is best), movie_id, logit.

    ``users`` are as :data:`USER_SIDE`: the place of each group's value in the movie side (the last one where
    unknown), the ``logits`` of the user with every probe movie, and the movies ``seen``. ``nobody`` are the
    logits of nobody with them. Log odds are rounded to nine decimals; of equal ones the smaller id is first.
    """
    task = partial(_task, side=side, nobody=nobody, count=count)
    return users.mapInArrow(task, TOP)


def _task(
    batches: Iterator[pa.RecordBatch], side: MovieSide, nobody: Floats, count: int
) -> Iterator[pa.RecordBatch]:
    at_once = max(CELLS_AT_ONCE // max(len(side.movie_id), 1), 1)
    for batch in batches:
        for start in range(0, batch.num_rows, at_once):
            yield _batch(batch.slice(start, at_once), side, nobody, count)


def _batch(users: pa.RecordBatch, side: MovieSide, nobody: Floats, count: int) -> pa.RecordBatch:
    logits = users["logits"].flatten().to_numpy(zero_copy_only=False).reshape(users.num_rows, -1)
    own = logits[:, 0]
    tastes = logits[:, 1:] - own[:, None] - (nobody[1:] - nobody[0])[None, :]
    scores = own[:, None] + side.own[None, :] + tastes @ side.by_taste.T
    for group in GROUPS:
        scores += side.by_group[users[f"{group}_value"].to_numpy()]
    scores = np.round(scores, DECIMALS)
    seen = users["seen"]
    rows = np.repeat(np.arange(users.num_rows), np.diff(seen.offsets.to_numpy()))
    columns, known = _places(seen.flatten().to_numpy(), side.movie_id)
    scores[rows[known], columns[known]] = -np.inf
    row, column = _best(scores, count)
    rank = np.arange(len(row)) - np.searchsorted(row, row) + 1
    return pa.RecordBatch.from_pydict(
        {
            "user_id": users["user_id"].to_numpy()[row],
            "rank": rank.astype(np.int32),
            "movie_id": side.movie_id[column],
            "logit": scores[row, column],
        }
    )


def _places(wanted: NDArray[np.int64], ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    place = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0))
    return place, ids[place] == wanted if len(ids) else np.zeros(len(wanted), dtype=bool)


def _best(scores: Floats, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of each row's ``count`` largest finite values, best first, equal ones by column."""
    kept = min(count, scores.shape[1])
    if not kept:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    least = np.partition(scores, -kept, axis=1)[:, -kept]
    row, column = np.nonzero((scores >= least[:, None]) & np.isfinite(scores))
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    return row[rank < kept], column[rank < kept]


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
