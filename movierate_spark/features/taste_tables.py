"""The tables that the taste columns are computed with: one set for each time block, learnt before it begins.

A movie's *index* is its place among the ids of the tables, in ascending order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import Broadcast
from pyspark.sql import SparkSession

from movierate_spark.features.earlier import Floats, Ints
from movierate_spark.features.factors import RANK
from movierate_spark.features.lookback import Indices
from movierate_spark.features.neighbours import Neighbours, neighbours
from movierate_spark.features.time_blocks import time_block
from movierate_spark.session import broadcast
from movierate_spark.spark_internals import release
from movierate_spark.storage.files import make_folder, write_chunks
from movierate_spark.storage.locations import Location

NEIGHBOURS = pa.schema([("movie_id", pa.int64()), ("neighbour_id", pa.int64()), ("weight", pa.float32())])
FACTORS = pa.schema([("movie_id", pa.int64()), ("vector", pa.list_(pa.float64(), RANK))])
BLOCKS, MOVIES = "time_blocks.parquet", "movies.parquet"


@dataclass(frozen=True)
class BlockTables:
    """What a time block's rows are scored with.

    ``vectors`` have a row for each movie, and a last one of zeros for movies that the tables don't have.
    """

    neighbours: Neighbours
    vectors: Floats


@dataclass(frozen=True)
class TasteTables:
    """The tables of time blocks; in block 0 nothing is known.

    ``movie_id`` are the movies' ids, ascending, ``titles`` their titles (None: unknown). ``begins`` are the
    first seconds of block 1, 2, ..., and ``blocks`` the tables by number, of the blocks that rows may be in.
    A table takes 8 bytes for each neighbour and 128 bytes for each vector: 60,000 movies with 200 neighbours
    take 100 MB.
    """

    movie_id: Ints
    titles: tuple[str | None, ...]
    begins: Ints
    blocks: Mapping[int, Broadcast[BlockTables]]

    def time_block(self, second: Ints) -> Ints:
        """The block of each epoch second; seconds after the last border belong to the last block."""
        return time_block(second, self.begins)

    def block_at(self, at: datetime) -> int:
        """The block of a time."""
        return int(self.time_block(np.array([int(at.timestamp())]))[0])

    def index(self, movie_id: Ints) -> Indices:
        """Each movie's index; the number of movies where the tables don't have it."""
        place = np.searchsorted(self.movie_id, movie_id)
        inside = np.minimum(place, max(len(self.movie_id) - 1, 0))
        is_known = self.movie_id[inside] == movie_id if len(self.movie_id) else np.zeros(len(place), bool)
        return np.where(is_known, inside, len(self.movie_id)).astype(np.int32)

    def until(self, second: int) -> TasteTables:
        """The tables of the blocks that begin up to an epoch second."""
        count = int(np.searchsorted(self.begins, second, side="right"))
        blocks = {number: block for number, block in self.blocks.items() if number <= count}
        return replace(self, begins=self.begins[:count], blocks=blocks)

    def without_blocks(self) -> TasteTables:
        """Tables in which nothing is known at any time."""
        return replace(self, begins=self.begins[:0], blocks={})

    def of_block(self, block: int) -> BlockTables:
        """The tables of block 1, 2, ...; what this process holds of the other blocks is freed."""
        for number, other in self.blocks.items():
            if number != block:
                release(other)
        return self.blocks[block].value


def broadcast_tables(
    spark: SparkSession,
    movie_id: Ints,
    titles: Sequence[str | None],
    begins: Ints,
    blocks: Iterable[tuple[int, BlockTables]],
) -> TasteTables:
    """The tables, block by block (number, tables), where every task can read them."""
    readable = {number: broadcast(spark, block) for number, block in blocks}
    return TasteTables(movie_id, tuple(titles), begins, readable)


def write_tables(tables: TasteTables, folder: Location) -> None:
    """Write the tables as Parquet files: time blocks, movies and each block's neighbours and factors."""
    make_folder(folder)
    numbers = range(1, len(tables.begins) + 1)
    _write(pa.table({"time_block": list(numbers), "begins": tables.begins}), folder / BLOCKS)
    titles = pa.array(tables.titles, pa.string())
    _write(pa.table({"movie_id": tables.movie_id, "title": titles}), folder / MOVIES)
    for number in numbers:
        block = tables.of_block(number)
        row, column = np.nonzero(block.neighbours.weight[:-1])
        of_row = {
            "movie_id": tables.movie_id[row],
            "neighbour_id": tables.movie_id[block.neighbours.neighbour[row, column]],
            "weight": block.neighbours.weight[row, column],
        }
        _write(pa.table(of_row, schema=NEIGHBOURS), _file(folder, "neighbours", number))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.vectors[:-1].ravel()), RANK)
        of_movie = {"movie_id": tables.movie_id, "vector": vectors}
        _write(pa.table(of_movie, schema=FACTORS), _file(folder, "factors", number))


def read_blocks(folder: Location) -> TasteTables:
    """Which movies and time blocks :func:`write_tables` wrote, still without their tables."""
    begins, movies = _read(folder / BLOCKS)["begins"].to_numpy(), _read(folder / MOVIES)
    return TasteTables(movies["movie_id"].to_numpy(), tuple(movies["title"].to_pylist()), begins, {})


def read_block(folder: Location, number: int, movie_id: Ints, *, kept: int) -> BlockTables:
    """The tables of a block, with ``kept`` neighbours for each movie; ``movie_id`` are all movies' ids."""
    cells = _read(_file(folder, "neighbours", number))
    movie, other = (
        np.searchsorted(movie_id, cells[name].to_numpy()) for name in ("movie_id", "neighbour_id")
    )
    table = neighbours(movie, other, cells["weight"].to_numpy(), movies=len(movie_id), kept=kept)
    vectors = _read(_file(folder, "factors", number))["vector"].combine_chunks()
    return BlockTables(table, with_unknown(vectors.flatten().to_numpy().reshape(-1, RANK)))


def with_unknown(vectors: Floats) -> Floats:
    """Movies' vectors and a last one of zeros, for movies without one."""
    return np.concatenate([vectors, np.zeros((1, RANK))])


def _write(table: pa.Table, file: Location) -> None:
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    write_chunks(file, [content.getvalue().to_pybytes()])


def _read(file: Location) -> pa.Table:
    return pq.read_table(pa.BufferReader(file.read_bytes()))


def _file(folder: Location, table: str, number: int) -> Location:
    return folder / f"{table}-{number:03d}.parquet"
