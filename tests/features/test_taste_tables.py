from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from taste_timeline import KEPT, Study

from movierate_spark.features.neighbours import Neighbours
from movierate_spark.features.taste_tables import (
    BlockTables,
    TasteTables,
    read_block,
    read_blocks,
    with_unknown,
    write_tables,
)


@dataclass
class Held:
    """Like a broadcast value."""

    value: Any


def tables_of(movie_id: list[int], begins: list[int]) -> TasteTables:
    free = len(movie_id)
    nothing = Neighbours(np.full((free + 1, 2), free, np.int32), np.zeros((free + 1, 2), np.float32))
    block = Held(BlockTables(nothing, with_unknown(np.zeros((free, 16)))))
    blocks: Any = dict.fromkeys(range(1, len(begins) + 1), block)
    titles = tuple(f"Movie {i}" for i in movie_id)
    return TasteTables(np.array(movie_id, dtype=np.int64), titles, np.array(begins, dtype=np.int64), blocks)


def read_again(tables: TasteTables, folder: Path, *, kept: int) -> TasteTables:
    """The tables as they are read after they were written."""
    write_tables(tables, folder)
    found = read_blocks(folder)
    numbers = range(1, len(found.begins) + 1)
    blocks: Any = {number: Held(read_block(folder, number, found.movie_id, kept=kept)) for number in numbers}
    return replace(found, blocks=blocks)


def test_tables_are_read_as_they_were_written(learnt: Study, tmp_path: Path) -> None:
    tables = read_again(learnt.tables, tmp_path / "taste", kept=KEPT)
    assert tables.movie_id.tolist() == learnt.tables.movie_id.tolist()
    assert tables.titles == learnt.tables.titles
    assert tables.titles[:2] == ("Movie 1", None)
    assert tables.begins.tolist() == learnt.tables.begins.tolist()
    for number in range(1, len(tables.begins) + 1):
        one, other = tables.of_block(number), learnt.tables.of_block(number)
        for name in ("neighbour", "weight"):
            read, written = (getattr(block.neighbours, name) for block in (one, other))
            assert (read.dtype, read.tolist()) == (written.dtype, written.tolist())
        assert (one.vectors.dtype, one.vectors.tolist()) == (other.vectors.dtype, other.vectors.tolist())


def test_tables_without_neighbours_or_blocks_are_read_as_they_were_written(tmp_path: Path) -> None:
    for begins in ([], [10, 20]):
        folder = tmp_path / str(len(begins))
        tables = read_again(tables_of([3, 7], begins), folder, kept=2)
        assert (tables.movie_id.tolist(), tables.begins.tolist()) == ([3, 7], begins)
        neighbours = [block.value.neighbours.neighbour.tolist() for block in tables.blocks.values()]
        assert neighbours == [[[2, 2]] * 3] * len(begins)


def test_a_movies_index_is_its_place_and_that_of_others_their_number() -> None:
    tables = tables_of([3, 7, 9], [])
    assert tables.index(np.array([9, 3, 8, 0, 10, 7])).tolist() == [2, 0, 3, 3, 3, 1]
    assert tables_of([], []).index(np.array([1, 2])).tolist() == [0, 0]


def test_tables_until_a_second_are_those_of_the_blocks_that_have_begun() -> None:
    tables = tables_of([1], [10, 20])
    assert [len(tables.until(second).blocks) for second in (9, 10, 19, 20, 99)] == [0, 1, 1, 2, 2]
    assert tables.time_block(np.array([9, 10, 19, 20, 99])).tolist() == [0, 1, 1, 2, 2]
    assert tables.until(19).time_block(np.array([20, 99])).tolist() == [1, 1]
