"""Learn each movie's neighbours for every time block: each task has the pairs of some movies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from movierate_spark.features.earlier import Ints, next_of_same
from movierate_spark.features.learning_log import Deviate, RatingLog, pair_numbers
from movierate_spark.features.lookback import lookback, runs
from movierate_spark.features.neighbours import top, weights
from movierate_spark.features.pairs import PairSums, add_block, no_pairs
from movierate_spark.session import expected_cores

CELLS_PER_TASK = 32_000_000
"""Pairs of movies in a task's sums, of 12 bytes each: 32 million take 384 MB."""
MOST_CORES = 64
ROWS_AT_ONCE = 250_000
CELLS = "time_block int, movie int, neighbour int, weight float"


def learn_neighbours(log: RatingLog, deviate: Deviate, *, last: int, kept: int) -> DataFrame:
    """The cells of every block's table: time_block, movie and neighbour (indices), weight.

    Each task has the sums of some movies with all others (:data:`CELLS_PER_TASK`), and sees the ratings of
    one block after the other. Every core gets as many tasks, so that none waits for the others: with
    60,000 movies 114 on two cores. But a task more is another copy of all ratings, so that no more than
    :data:`MOST_CORES` count.
    """
    spark = log.ratings.sparkSession
    movies = len(log.movie_id)
    cores = min(expected_cores(spark), MOST_CORES)
    count = min(math.ceil(movies * movies / CELLS_PER_TASK / cores) * cores, movies)
    edges = [movies * i // count for i in range(count + 1)]
    rows = _in_active_blocks(log)
    every_task = F.explode(F.sequence(F.lit(0), F.lit(count - 1)))
    dealt = rows.withColumn("task", every_task).repartitionById(count, F.col("task").cast("int"))
    ordered = dealt.sortWithinPartitions("block", "user_id", "second", "movie_id")
    task = partial(
        _neighbour_task, log=(log.movie_id, log.begins), edges=edges, deviate=deviate, last=last, kept=kept
    )
    return ordered.mapInArrow(task, CELLS)


def _in_active_blocks(log: RatingLog) -> DataFrame:
    """A row for each rating and block, from its own on, in which its user makes ratings.

    So the rows of a block and a user are all that pairs of that block are made of.
    """
    number = F.lit(0)
    for begin in log.begins.tolist():
        number = number + F.when(F.col("second") >= begin, 1).otherwise(0)
    rows = log.ratings.withColumn("own_block", number)
    active = F.collect_set("own_block").over(Window.partitionBy("user_id"))
    rows = rows.withColumn("active", active)
    later = F.filter("active", lambda block: block >= F.col("own_block"))
    columns = ["user_id", "movie_id", "second", "residual", "user_residual", "own_block"]
    return rows.select(*columns, F.explode(later).alias("block"))


def _neighbour_task(
    batches: Iterator[pa.RecordBatch],
    log: tuple[Ints, Ints],
    edges: list[int],
    deviate: Deviate,
    last: int,
    kept: int,
) -> Iterator[pa.RecordBatch]:
    movie_id, begins = log
    sums: PairSums | None = None
    squares = np.zeros(len(movie_id), np.int64)
    block = 0
    for rows in _whole_users(batches):
        if sums is None:
            task = int(rows["task"][0].as_py())
            sums = no_pairs(edges[task], edges[task + 1], movies=len(movie_id))
        number = int(rows["block"][0].as_py())
        while block < number:
            block += 1
            yield from _top(sums, squares, block, kept=kept)
        _add(sums, squares, rows, movie_id, deviate, block=number, last=last)
    while sums is not None and block < len(begins):
        block += 1
        yield from _top(sums, squares, block, kept=kept)


def _whole_users(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Tables of one block each, in order, in which no user is cut: about :data:`ROWS_AT_ONCE` rows."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(each.num_rows for each in held) >= ROWS_AT_ONCE:
            *whole, rest = _by_block(pa.Table.from_batches(held))
            yield from whole
            user = rest["user_id"].to_numpy()
            cut = int(np.searchsorted(user, user[-1]))
            if cut:
                yield rest.slice(0, cut)
            held = rest.slice(cut).to_batches()
    if held:
        yield from _by_block(pa.Table.from_batches(held))


def _by_block(rows: pa.Table) -> list[pa.Table]:
    edges = runs(rows["block"].to_numpy()).tolist()
    return [rows.slice(begin, end - begin) for begin, end in pairwise(edges)]


def _add(
    sums: PairSums, squares: Ints, rows: pa.Table, movie_id: Ints, deviate: Deviate, *, block: int, last: int
) -> None:
    """Add the pairs that a block's ratings of some users make, and each movie's own squares."""
    user = rows["user_id"].to_numpy()
    movie = np.searchsorted(movie_id, rows["movie_id"].to_numpy()).astype(np.int32)
    deviation = deviate(rows["residual"].to_numpy(), rows["user_residual"].to_numpy())
    own_block = rows["own_block"].to_numpy().astype(np.int64)
    replaced_at = next_of_same(pair_numbers(user, movie, len(movie_id)))
    ratings = lookback(user, movie, replaced_at, movies=len(movie_id), last=last)
    add_block(sums, ratings, deviation, own_block, block=block)
    new = np.flatnonzero(own_block == block)
    np.add.at(squares, movie[new], deviation[new] ** 2)
    replaced = np.flatnonzero(replaced_at < len(user))
    gone = replaced[own_block[replaced_at[replaced]] == block]
    np.subtract.at(squares, movie[gone], deviation[gone] ** 2)


def _top(sums: PairSums, squares: Ints, block: int, *, kept: int) -> Iterator[pa.RecordBatch]:
    for first, some in weights(sums, squares):
        row, column, weight = top(some, kept=kept)
        yield pa.RecordBatch.from_pydict(
            {
                "time_block": np.full(len(row), block, np.int32),
                "movie": (row + first).astype(np.int32),
                "neighbour": column.astype(np.int32),
                "weight": weight.astype(np.float32),
            }
        )
