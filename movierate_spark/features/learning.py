"""Learn the tables of the taste columns from ratings, block by block.

A time block's tables are learnt from the ratings of the blocks before it. Sums are of whole numbers, so that
the tables do not depend on the partitioning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from movierate_spark.config import FeatureSettings
from movierate_spark.features import factors
from movierate_spark.features.earlier import Floats, Ints, next_of_same
from movierate_spark.features.lookback import lookback, runs
from movierate_spark.features.neighbours import neighbours, top, weights
from movierate_spark.features.pairs import PairSums, add_block, deviations, no_pairs
from movierate_spark.features.taste_tables import (
    BlockTables,
    TasteTables,
    broadcast_tables,
    with_unknown,
)
from movierate_spark.features.time_blocks import borders, ratings_before_borders
from movierate_spark.session import broadcast, expected_cores

FIRST_SWEEPS, SWEEPS = 10, 2
CELLS_PER_TASK = 32_000_000
"""Pairs of movies in a task's sums, of 12 bytes each: 32 million take 384 MB."""
ROWS_AT_ONCE = 250_000
SECONDS_PER_DAY = 86_400
CELLS = "time_block int, movie int, neighbour int, weight float"
VECTORS = "vectors array<double>"
SWEEP = "range int, sums binary"

Deviate = Callable[[Ints, Floats], Ints]
"""From residuals and users' levels to deviations: :func:`movierate_spark.features.pairs.deviations`."""


@dataclass(frozen=True)
class Log:
    """Ratings to learn from: user_id, movie_id, ``second``, ``residual`` and ``user_residual``.

    A row per rating, replaced ones too. ``movie_id`` are the movies' ids, ascending; ``begins`` the first
    seconds of block 1, 2, ...
    """

    ratings: DataFrame
    movie_id: Ints
    begins: Ints


def learn(
    ratings: DataFrame,
    movies: DataFrame,
    settings: FeatureSettings,
    *,
    residual_units: int,
    forced: Collection[int],
) -> TasteTables:
    """The tables of all time blocks that begin up to the last of the ``forced`` borders (epoch seconds).

    ``ratings`` have a row per rating, all of them before the last border: user_id, movie_id, ``at``,
    ``residual`` (in units of 1 / ``residual_units`` stars) and ``user_residual`` (stars). ``movies`` have
    movie_id and title.
    """
    seconds = ratings.withColumn("second", F.unix_seconds("at"))
    begins = _borders(seconds, settings, forced)
    rated = ratings.select("movie_id").distinct().join(movies.select("movie_id", "title"), "movie_id", "left")
    titles = dict(sorted((row["movie_id"], row["title"]) for row in rated.collect()))
    movie_id = np.array(list(titles), np.int64)
    log = Log(seconds, movie_id, begins)
    deviate = partial(deviations, residual_units=residual_units)
    kept = settings.neighbours_max
    cells = _neighbours(log, deviate, last=settings.history_max, kept=kept).persist()

    def blocks(vectors: Iterator[Floats]) -> Iterator[BlockTables]:
        for number, of_movies in enumerate(vectors, start=1):
            of_block = cells.where(F.col("time_block") == number).toPandas()
            of_block = of_block.sort_values(["movie", "neighbour"])
            columns = (of_block[name].to_numpy() for name in ("movie", "neighbour", "weight"))
            table = neighbours(*columns, movies=len(movie_id), kept=kept)
            yield BlockTables(table, with_unknown(of_movies))

    spark = ratings.sparkSession
    try:
        with closing(_vectors(log, deviate, task_max_rows=settings.task_max_rows)) as vectors:
            return broadcast_tables(spark, movie_id, list(titles.values()), begins, blocks(vectors))
    finally:
        cells.unpersist()


def _borders(ratings: DataFrame, settings: FeatureSettings, forced: Collection[int]) -> Ints:
    """The first second of each block, from the number of ratings of each day and of the borders' seconds."""
    day = F.floor(F.col("second") / SECONDS_PER_DAY)
    by_day = ratings.groupBy(day.alias("day")).count().toPandas().sort_values("day")
    first, growth = settings.time_block_first, settings.time_block_growth
    reached = by_day["count"].cumsum().to_numpy()
    at_borders = ratings_before_borders(int(by_day["count"].sum()), first=first, growth=growth)
    cut_days = np.unique(by_day["day"].to_numpy()[np.searchsorted(reached, at_borders)])
    cut = ratings.where(day.isin([int(each) for each in cut_days]))
    by_second = cut.groupBy("second").count().toPandas()
    others = by_day[~by_day["day"].isin(cut_days)]
    second = np.concatenate([by_second["second"], (others["day"] + 1) * SECONDS_PER_DAY - 1]).astype(np.int64)
    count = np.concatenate([by_second["count"], others["count"]]).astype(np.int64)
    order = np.argsort(second)
    every = borders(second[order], count[order], first=first, growth=growth, forced=forced)
    return every[every <= max(forced)]


# ---- neighbours ----------------------------------------------------------------------------------


def _neighbours(log: Log, deviate: Deviate, *, last: int, kept: int) -> DataFrame:
    """The cells of every block's table: time_block, movie and neighbour (indices), weight.

    Each task has the sums of some movies with all others (:data:`CELLS_PER_TASK`), and sees the ratings of
    one block after the other. Every core gets as many tasks, so that none waits for the others: with
    60,000 movies 114 on two cores.
    """
    spark = log.ratings.sparkSession
    movies = len(log.movie_id)
    cores = expected_cores(spark)
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


def _in_active_blocks(log: Log) -> DataFrame:
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
    replaced_at = next_of_same(_pairs(user, movie, len(movie_id)))
    ratings = lookback(user, movie, replaced_at, movies=len(movie_id), last=last)
    add_block(sums, ratings, deviation, own_block, block=block)
    new = np.flatnonzero(own_block == block)
    np.add.at(squares, movie[new], deviation[new] ** 2)
    replaced = np.flatnonzero(replaced_at < len(user))
    gone = replaced[own_block[replaced_at[replaced]] == block]
    np.subtract.at(squares, movie[gone], deviation[gone] ** 2)


def _pairs(user: Ints, movie: Ints, movies: int) -> Ints:
    number = np.cumsum(np.concatenate([[0], user[1:] != user[:-1]])) if len(user) else user
    return np.asarray(number * movies + movie, dtype=np.int64)


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


# ---- factors -------------------------------------------------------------------------------------


def _vectors(log: Log, deviate: Deviate, *, task_max_rows: int) -> Generator[Floats]:
    """The movies' vectors for block 1, 2, ..., each learnt from those of the block before.

    Blocks with at most ``task_max_rows`` ratings before them are learnt in one task, one after the other. A
    sweep in several tasks reads the whole log, however few ratings the block needs.
    """
    ratings = log.ratings.select("user_id", "movie_id", "second", "residual", "user_residual")
    before = _ratings_before(log.begins, ratings)
    of_one_task, of_all_tasks = np.split(log.begins, [np.searchsorted(before, task_max_rows, side="right")])
    vectors = np.zeros((len(log.movie_id), factors.RANK))
    if len(of_one_task):
        task = partial(_block_after_block, log=(log.movie_id, of_one_task), deviate=deviate)
        early = ratings.where(F.col("second") < int(of_one_task[-1]))
        for row in _dealt(early, 1).mapInArrow(task, VECTORS).toLocalIterator():
            vectors = np.array(row["vectors"]).reshape(-1, factors.RANK)
            yield vectors
    if not len(of_all_tasks):
        return
    dealt = _dealt(ratings, math.ceil(before[-1] / task_max_rows)).persist()
    try:
        for begin in of_all_tasks.tolist():
            vectors, sweeps = _start(vectors, log.movie_id)
            earlier = dealt.where(F.col("second") < begin)
            for _ in range(sweeps):
                vectors = _sweep(earlier, vectors, log.movie_id, deviate)
            yield vectors
    finally:
        dealt.unpersist()


def _ratings_before(begins: Ints, ratings: DataFrame) -> Ints:
    """How many ratings were made before each of these seconds."""
    second = F.col("second")
    row = ratings.agg(*(F.count_if(second < begin) for begin in begins.tolist())).head()
    return np.array(row, np.int64)


def _dealt(ratings: DataFrame, tasks: int) -> DataFrame:
    """All ratings of a user in one task, in order."""
    return ratings.repartition(tasks, "user_id").sortWithinPartitions("user_id", "second", "movie_id")


def _start(vectors: Floats, movie_id: Ints) -> tuple[Floats, int]:
    """What a block's vectors are learnt from, and in how many sweeps: those of the block before.

    Where these are all zeros, from the first ones: from zeros nothing is ever learnt.
    """
    return (vectors, SWEEPS) if vectors.any() else (factors.first_vectors(movie_id), FIRST_SWEEPS)


def _block_after_block(
    batches: Iterator[pa.RecordBatch], log: tuple[Ints, Ints], deviate: Deviate
) -> Iterator[pa.RecordBatch]:
    """One task that has all ratings before the last block: every block's vectors."""
    movie_id, begins = log
    rows = pa.Table.from_batches(list(batches))
    vectors = np.zeros((len(movie_id), factors.RANK))
    for begin in begins.tolist():
        vectors, sweeps = _start(vectors, movie_id)
        before = rows.filter(pa.array(rows["second"].to_numpy() < begin))
        vectors = factors.after_sweeps([_deviations(before, movie_id, deviate)], vectors, sweeps=sweeps)
        yield pa.RecordBatch.from_pydict({"vectors": [vectors.ravel()]})


def _sweep(ratings: DataFrame, vectors: Floats, movie_id: Ints, deviate: Deviate) -> Floats:
    """One sweep over the ratings of all tasks. Their sums, 1.2 KB a movie, come to the driver."""
    on_executors, ranges = broadcast(ratings.sparkSession, vectors), expected_cores(ratings.sparkSession)

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = list(batches)
        if held:
            rows = pa.Table.from_batches(held)
            sums = factors.sweep_sums(_deviations(rows, movie_id, deviate), on_executors.value)
            yield _sums_of_ranges(dict(enumerate(np.array_split(sums, ranges))))

    by_range = ratings.mapInArrow(task, SWEEP).repartitionById(ranges, "range")
    try:
        added = by_range.mapInArrow(_added_up, SWEEP).collect()
    finally:
        on_executors.destroy()
    total = np.zeros((len(movie_id), factors.TERMS), np.int64)
    of_range = np.array_split(total, ranges)  # views
    for row in added:
        of_range[row["range"]][:] = np.frombuffer(row["sums"], np.int64).reshape(-1, factors.TERMS)
    return factors.movie_vectors(total)


def _added_up(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The sums of each range of movies over all tasks."""
    total: dict[int, Ints] = {}
    for batch in batches:
        for number, sums in zip(batch["range"].to_pylist(), batch["sums"], strict=True):
            added = np.frombuffer(sums.as_buffer(), np.int64)
            total[number] = total[number] + added if number in total else added
    yield _sums_of_ranges(total)


def _sums_of_ranges(sums: dict[int, Ints]) -> pa.RecordBatch:
    content = pa.array([each.tobytes() for each in sums.values()], pa.binary())
    return pa.RecordBatch.from_pydict({"range": pa.array(sums, pa.int32()), "sums": content})


def _deviations(rows: pa.Table, movie_id: Ints, deviate: Deviate) -> sp.csr_array:
    """Users by movies: the deviations of the ratings that no other one of the rows replaces."""
    user = rows["user_id"].to_numpy()
    movie = np.searchsorted(movie_id, rows["movie_id"].to_numpy())
    deviation = deviate(rows["residual"].to_numpy(), rows["user_residual"].to_numpy())
    stands = next_of_same(_pairs(user, movie, len(movie_id))) == len(user)
    edge = runs(user[stands])
    number = np.repeat(np.arange(len(edge) - 1), np.diff(edge))
    return sp.csr_array((deviation[stands], (number, movie[stands])), shape=(len(edge) - 1, len(movie_id)))
