"""The best movies for every user, by matrix products in batches of users.

The model's log odds are a sum of parts: of the user, of the movie, and of both. The last are the user's taste
for the movie's genres (the mean over them) and for its decade, and how users of the same gender, age group
and occupation rate the movie. The parts are measured by probes (see
:mod:`movierate_spark.recommendation.probes`), so the model scores far fewer pairs than users times
movies. Only the taste columns are no product of a few numbers: they are computed here, from the same tables
(see :mod:`movierate_spark.recommendation.taste`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql.types import DoubleType, IntegerType, LongType, StructField, StructType

from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.features.earlier import Floats
from movierate_spark.recommendation.sides import MovieSide, TasteSide
from movierate_spark.recommendation.taste import UserTaste, added_by_taste

CELLS_AT_ONCE = 2_000_000
"""Pairs of users and movies, at some 80 bytes with the taste columns."""
DECIMALS = 9
TOP = StructType(
    [
        StructField("user_id", LongType()),
        StructField("rank", IntegerType()),
        StructField("movie_id", LongType()),
        StructField("logit", DoubleType()),
    ]
)


def top_movies(
    users: DataFrame, side: MovieSide, nobody: Floats, *, count: int, taste: TasteSide | None = None
) -> DataFrame:
    """The ``count`` best unseen movies of each user: user_id, rank (1 is best), movie_id, logit.

    ``users`` have the columns :data:`USER_SIDE`: for each group, the row of the user's value in
    ``side.by_group`` (the last row if unknown); the user's ``logits`` with every probe movie; and the movies
    ``seen``. ``nobody`` are the logits of probe user -1 with the probe movies. With ``taste``, the users also
    have :data:`USER_TASTE`, and all ``logits`` are without the taste columns. Log odds are rounded to nine
    decimals; movies with equal ones are sorted by id. Users with fewer unseen movies have fewer rows.
    """
    task = partial(_task, side=side, nobody=nobody, count=count, taste=taste)
    return users.mapInArrow(task, TOP)


def _task(
    batches: Iterator[pa.RecordBatch], side: MovieSide, nobody: Floats, count: int, taste: TasteSide | None
) -> Iterator[pa.RecordBatch]:
    movies = None if taste is None else taste.movies()
    batch_size = max(CELLS_AT_ONCE // max(len(side.movie_id), 1), 1)
    for batch in batches:
        for start in range(0, batch.num_rows, batch_size):
            users = batch.slice(start, batch_size)
            scores = _additive(users, side, nobody)
            if taste is not None and movies is not None:
                own = UserTaste.of(users, movies=movies.weight.shape[0])
                scores += added_by_taste(own, movies, taste.coefficients)
            yield _batch(users, np.round(scores, DECIMALS), side, count)


def _additive(users: pa.RecordBatch, side: MovieSide, nobody: Floats) -> Floats:
    """The log odds of users (rows) with movies (columns) but for the taste columns."""
    logits = users["logits"].flatten().to_numpy(zero_copy_only=False).reshape(users.num_rows, -1)
    own = logits[:, 0]
    tastes = logits[:, 1:] - own[:, None] - (nobody[1:] - nobody[0])[None, :]
    scores = own[:, None] + side.own[None, :] + tastes @ side.by_taste.T
    for group in DEMOGRAPHICS:
        scores += side.by_group[users[f"{group}_value"].to_numpy()]
    return np.asarray(scores)


def _batch(users: pa.RecordBatch, scores: Floats, side: MovieSide, count: int) -> pa.RecordBatch:
    """The best unseen movies by ``scores`` (users x movies), which are overwritten."""
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


def _places(values: NDArray[np.int64], ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    place = np.minimum(np.searchsorted(ids, values), max(len(ids) - 1, 0))
    return place, ids[place] == values if len(ids) else np.zeros(len(values), dtype=bool)


def _best(scores: Floats, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of each row's ``count`` largest finite values, largest first, equal ones by column."""
    size = min(count, scores.shape[1])
    if not size:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    least = np.partition(scores, -size, axis=1)[:, -size]
    row, column = np.nonzero((scores >= least[:, None]) & np.isfinite(scores))
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    return row[rank < size], column[rank < size]
