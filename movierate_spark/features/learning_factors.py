"""Learn the movies' vectors for every time block, in sweeps over the ratings before it."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.features import factors
from movierate_spark.features.earlier import Floats, Ints, next_of_same
from movierate_spark.features.learning_log import Deviate, RatingLog, pair_numbers
from movierate_spark.features.lookback import runs
from movierate_spark.session import broadcast, expected_cores, persisted

FIRST_SWEEPS, SWEEPS = 10, 2
VECTORS = "vectors array<double>"
SWEEP = "range int, sums binary"


def learn_factors(log: RatingLog, deviate: Deviate, *, task_max_rows: int) -> Generator[Floats]:
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
    with persisted(_dealt(ratings, math.ceil(before[-1] / task_max_rows))) as dealt:
        for begin in of_all_tasks.tolist():
            vectors, sweeps = _start(vectors, log.movie_id)
            earlier = dealt.where(F.col("second") < begin)
            for _ in range(sweeps):
                vectors = _sweep(earlier, vectors, log.movie_id, deviate)
            yield vectors


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
    stands = next_of_same(pair_numbers(user, movie, len(movie_id))) == len(user)
    edge = runs(user[stands])
    number = np.repeat(np.arange(len(edge) - 1), np.diff(edge))
    return sp.csr_array((deviation[stands], (number, movie[stands])), shape=(len(edge) - 1, len(movie_id)))
