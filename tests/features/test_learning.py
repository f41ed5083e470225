from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from pyspark.sql import SparkSession
from taste_timeline import (
    END,
    FORCED,
    KEPT,
    LAST,
    QUIET,
    Study,
    a_block_late,
    cells,
    rows,
    study,
    vectors,
)
from timelines import DAY, Row

from movierate_spark.features import factors, learning_factors, learning_neighbours
from movierate_spark.features.earlier import Floats, Ints, next_of_same
from movierate_spark.features.learning_log import RatingLog
from movierate_spark.features.lookback import lookback
from movierate_spark.features.neighbours import top, weights
from movierate_spark.features.pairs import add_block, deviations, no_pairs
from movierate_spark.features.task_history import RESIDUAL_UNITS
from movierate_spark.features.taste_tables import TasteTables
from movierate_spark.features.time_blocks import time_block

deviate = partial(deviations, residual_units=RESIDUAL_UNITS)


# ---- the same in one process ----------------------------------------------------------------------


def plain_cells(learnt: Study) -> list[dict[tuple[int, int], float]]:
    """Each block's neighbours, from the pairs of all users at once."""
    log = learnt.ratings.sort_values(["user_id", "second", "movie_id"], ignore_index=True)
    movie_id, begins = np.unique(log["movie_id"]), learnt.tables.begins
    user, movie = log["user_id"].to_numpy(), np.searchsorted(movie_id, log["movie_id"]).astype(np.int32)
    replaced_at = next_of_same(user * 1_000 + movie)
    ratings = lookback(user, movie, replaced_at, movies=len(movie_id), last=LAST)
    deviation = deviate(log["residual"].to_numpy(), log["user_residual"].to_numpy())
    sums, blocks = no_pairs(0, len(movie_id), movies=len(movie_id)), []
    for block in range(len(begins)):
        own_block = time_block(log["second"].to_numpy(), begins)
        add_block(sums, ratings, deviation, own_block, block=block)
        ((_, every),) = weights(sums, sums.products.diagonal())
        row, column, weight = top(every, kept=KEPT)
        pairs = zip(movie_id[row], movie_id[column], strict=True)
        blocks.append(dict(zip(pairs, weight.astype(np.float32).tolist(), strict=True)))
    return blocks


def plain_vectors(learnt: Study) -> list[np.ndarray]:
    """Each block's vectors, from a table of the ratings that stand when it begins."""
    log, movie_id = learnt.ratings, learnt.tables.movie_id
    of_movies, blocks = factors.first_vectors(movie_id), []
    for number, begin in enumerate(learnt.tables.begins):
        before = log[log["second"] < begin].sort_values("second")
        stand = before.drop_duplicates(["user_id", "movie_id"], keep="last")
        deviation = deviate(stand["residual"].to_numpy(), stand["user_residual"].to_numpy())
        at = (stand["user_id"].to_numpy(), np.searchsorted(movie_id, stand["movie_id"]))
        table = sp.csr_array((deviation, at), shape=(20, len(movie_id)))
        sweeps = learning_factors.SWEEPS if number else learning_factors.FIRST_SWEEPS
        of_movies = factors.after_sweeps([table], of_movies, sweeps=sweeps)
        blocks.append(of_movies)
    return blocks


def test_the_log_has_what_makes_it_hard(learnt: Study) -> None:
    log, begins = learnt.ratings, learnt.tables.begins
    assert log.duplicated(["user_id", "movie_id"]).sum() > 50
    assert log.duplicated(["user_id", "second"]).sum() > 20
    block = time_block(log["second"].to_numpy(), begins)
    assert len(begins) >= 6
    assert set(range(len(begins))) - set(block) == {int(np.searchsorted(begins, QUIET + 150, side="right"))}
    assert set(FORCED) < set(begins)
    assert begins[-1] == END


def test_neighbours_are_those_of_all_users_at_once(learnt: Study) -> None:
    blocks = [cells(learnt.tables, number) for number in range(1, len(learnt.tables.begins) + 1)]
    assert blocks == plain_cells(learnt)
    assert min(map(len, blocks)) > 10


def test_vectors_are_those_of_a_table_of_all_users(learnt: Study) -> None:
    for number, expected in enumerate(plain_vectors(learnt), start=1):
        of_block = learnt.tables.of_block(number).vectors
        assert of_block[:-1] == pytest.approx(expected, abs=1e-9)
        assert not of_block[-1].any()
        assert np.abs(of_block).max() > 0.1


# ---- nothing leaks --------------------------------------------------------------------------------


def changed_from(cut: int, how: str) -> list[Row]:
    """The timeline with other ratings from a second on; requests stay."""
    past = [row for row in rows() if row[2] < cut or row[3] is None]
    future = [row for row in rows() if row[2] >= cut and row[3] is not None]
    if how == "removed":
        return past
    if how == "relabelled":
        return past + [(user, movie, second, 5.5 - (stars or 0)) for user, movie, second, stars in future]
    users = [row[0] for row in future]
    random.Random(1).shuffle(users)
    shuffled = [(user, *row[1:]) for user, row in zip(users, future, strict=True)]
    return past + list({row[:3]: row for row in shuffled}.values())


def differing(one: TasteTables, other: TasteTables, *, until: int) -> list[str]:
    """What differs between two tables in the blocks that begin up to a second."""
    begins = one.begins[one.begins <= until]
    if begins.tolist() != other.begins[other.begins <= until].tolist():
        return ["borders"]
    movies, differences = sorted({*one.movie_id, *other.movie_id}), []
    for number in range(1, len(begins) + 1):
        if cells(one, number) != cells(other, number):
            differences.append(f"neighbours {number}")
        apart = vectors(one, number, movies) - vectors(other, number, movies)
        if np.abs(apart).max() > 1e-9:
            differences.append(f"vectors {number}")
    return differences


def columns_differ(one: Any, other: Any, *, until: int) -> bool:
    """Whether the taste columns of rows before a second differ, be it by a bit."""
    before = [frame[frame["second"] < until].reset_index(drop=True) for frame in (one, other)]
    assert len(before[0]) > 50
    keys = ["user_id", "movie_id", "second", "user_neighbours"]
    apart = (before[0]["user_factors"] - before[1]["user_factors"]).abs().max()
    return not before[0][keys].equals(before[1][keys]) or apart > 1e-9


@pytest.mark.parametrize(
    ("how", "at_border"), [("removed", False), ("relabelled", True), ("shuffled", False)]
)
def test_what_is_before_a_cut_does_not_change_when_the_future_does(
    spark: SparkSession, learnt: Study, how: str, at_border: bool
) -> None:
    begins = learnt.tables.begins
    cut = int(begins[2]) if at_border else int(begins[2] + begins[3]) // 2
    changed = study(spark, changed_from(cut, how))
    assert differing(learnt.tables, changed.tables, until=cut) == []
    assert not columns_differ(learnt.columns, changed.columns, until=cut)
    # The same comparisons tell when a block's tables are learnt from its own ratings, too.
    late, late_changed = a_block_late(learnt.tables), a_block_late(changed.tables)
    assert differing(late, late_changed, until=cut)
    if not at_border:  # else nothing of a block that has begun lies after the cut
        assert columns_differ(learnt.with_tables(late), changed.with_tables(late_changed), until=cut)


# ---- at any partitioning --------------------------------------------------------------------------


@pytest.fixture(params=["1", "7"])
def partitions(spark: SparkSession, request: pytest.FixtureRequest) -> Iterator[str]:
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", request.param)
    yield request.param
    spark.conf.set("spark.sql.shuffle.partitions", str(before))


def test_tables_and_columns_are_the_same_at_any_partitioning(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, learnt: Study, partitions: str
) -> None:
    max_rows = 1_000
    if partitions == "7":  # heavy users in segments, four ranges of movies
        monkeypatch.setattr(learning_neighbours, "CELLS_PER_TASK", 60)
        max_rows = 64
    mixed = rows()
    random.Random(2).shuffle(mixed)
    other = study(spark, mixed, task_max_rows=max_rows)
    assert ("segment" in other.by_user.columns) == (partitions == "7")
    assert other.ratings.equals(learnt.ratings)
    assert differing(learnt.tables, other.tables, until=END) == []
    assert not columns_differ(learnt.columns, other.columns, until=20 * DAY)


def vectors_of_one_task(learnt: Study, begins: Ints) -> list[Floats]:
    ordered = learnt.ratings.sort_values(["user_id", "second", "movie_id"])
    batches = pa.Table.from_pandas(ordered, preserve_index=False).to_batches(max_chunksize=50)
    blocks = learning_factors._block_after_block(iter(batches), (learnt.tables.movie_id, begins), deviate)
    return [np.array(batch["vectors"][0].as_py()).reshape(-1, factors.RANK) for batch in blocks]


def test_vectors_of_several_tasks_are_those_of_one(spark: SparkSession, learnt: Study) -> None:
    begins = np.array([-10, *learnt.tables.begins[[0, 3, -1]]])
    log = RatingLog(spark.createDataFrame(learnt.ratings), learnt.tables.movie_id, begins)
    arrays = list(learning_factors.learn_factors(log, deviate, task_max_rows=120))
    expected = vectors_of_one_task(learnt, begins)
    assert [each.any() for each in arrays] == [False, True, True, True]
    assert np.array(arrays) == pytest.approx(np.array(expected), abs=1e-9)


# ---- a task's batches -----------------------------------------------------------------------------


def task_rows(learnt: Study) -> pa.Table:
    """The rows of a task that has all movies: each rating in every block in which its user rates."""
    own_block = time_block(learnt.ratings["second"].to_numpy(), learnt.tables.begins)
    log = learnt.ratings.assign(own_block=own_block)
    active = log[["user_id", "own_block"]].drop_duplicates().rename(columns={"own_block": "block"})
    joined = log.merge(active, on="user_id")
    joined = joined[joined["block"] >= joined["own_block"]].assign(task=0)
    ordered = joined.sort_values(["block", "user_id", "second", "movie_id"])
    return pa.Table.from_pandas(ordered, preserve_index=False)


def neighbour_task(learnt: Study, batches: list[pa.RecordBatch]) -> list[dict[str, Any]]:
    tables = learnt.tables
    output = learning_neighbours._neighbour_task(
        iter(batches),
        log=(tables.movie_id, tables.begins),
        edges=[0, len(tables.movie_id)],
        deviate=deviate,
        last=LAST,
        kept=KEPT,
    )
    return pa.Table.from_batches(list(output)).to_pylist()


@pytest.mark.parametrize("batch", [1, 3, 50, 10_000])
@pytest.mark.parametrize("at_once", [1, 5, 60])
def test_users_and_blocks_may_be_cut_anywhere_by_batches(
    monkeypatch: pytest.MonkeyPatch, learnt: Study, batch: int, at_once: int
) -> None:
    table = task_rows(learnt)
    whole = neighbour_task(learnt, table.to_batches())
    monkeypatch.setattr(learning_neighbours, "ROWS_AT_ONCE", at_once)
    batches = table.to_batches(max_chunksize=batch)
    empty = batches[0].slice(0, 0)
    cut = [empty, *batches, empty]
    tables = list(learning_neighbours._whole_users(iter(cut)))
    assert pa.concat_tables(tables).equals(table)
    users = [set(zip(t["block"].to_pylist(), t["user_id"].to_pylist(), strict=True)) for t in tables]
    assert sum(map(len, users)) == len(set().union(*users))
    assert all(len({block for block, _ in some}) == 1 for some in users)
    assert neighbour_task(learnt, cut) == whole


def test_a_task_without_rows_has_no_tables(learnt: Study) -> None:
    assert list(learning_neighbours._whole_users(iter([]))) == []
    assert list(learning_neighbours._whole_users(iter(task_rows(learnt).slice(0, 0).to_batches()))) == []


def test_blocks_before_the_first_rating_do_not_keep_the_later_from_learning(learnt: Study) -> None:
    begins = learnt.tables.begins
    early = vectors_of_one_task(learnt, np.concatenate([[-20, -10], begins]))
    assert not np.any(early[:2])
    assert np.array_equal(early[2:], vectors_of_one_task(learnt, begins))
