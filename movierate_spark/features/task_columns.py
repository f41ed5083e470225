"""From a task's Arrow rows to NumPy arrays, and from arrays to columns of the rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql.types import ArrayType, DataType, DoubleType, LongType, StructField, StructType

from movierate_spark.features.earlier import Floats, Ints
from movierate_spark.features.lookback import expanded
from movierate_spark.features.segments import BEFORE_ALL, ORDINARY
from movierate_spark.features.taste import SIMILAR_RATINGS

SIMILAR_RATING = StructType(
    [
        StructField("movie_id", LongType()),
        StructField("rating", DoubleType()),
        StructField("share", DoubleType()),
    ]
)
TYPES: Mapping[str, DataType] = {
    **dict.fromkeys(("movie_count", "user_count", "residual"), LongType()),
    SIMILAR_RATINGS: ArrayType(SIMILAR_RATING),
}
"""Of the columns that the passes add; the others are doubles."""
GENRE_LIST = "genre_list"
"""A movie's genres as JSON text, which is sent to a task in less time than a list of strings."""
ROWS_PER_BATCH = 65_536
MICROS_PER_SECOND = 1_000_000

Columns = dict[str, Ints | Floats | pa.Array]
History = Callable[[pa.Table], Columns]
Mask = Callable[[pa.Table], NDArray[np.bool_]]


def is_ordinary(rows: pa.Table) -> NDArray[np.bool_]:
    """Whether a row is an event or a request, and not a summary of earlier segments."""
    return np.asarray(placed(rows, "kind") == ORDINARY)


def add_columns(
    rows: DataFrame,
    function: History,
    added: Sequence[str],
    *,
    keep: Mask = is_ordinary,
    without: Collection[str] = (),
) -> DataFrame:
    """Apply ``function`` to each task and add its columns. Keys and segments are complete in a task.

    ``function`` gets all rows. Only those that ``keep`` chooses leave the task, without the columns
    ``without``: what Spark drops after the task has already been copied from process to process.
    """
    kept = [field for field in rows.schema.fields if field.name not in without]
    # Spark looks at each value whether it is null, where a column may hold nulls.
    new = [StructField(name, TYPES.get(name, DoubleType()), nullable=False) for name in added]
    schema = StructType([*kept, *new])
    task = partial(_task, function=function, keep=keep, names=schema.names)
    return rows.mapInArrow(task, schema)


def _task(
    batches: Iterator[pa.RecordBatch], function: History, keep: Mask, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    rows = complete(batches)
    if rows is None:
        return
    columns = function(rows)
    if unnamed := sorted(set(columns).difference(names)):
        raise ValueError(f"{', '.join(unnamed)}: computed, but not among the columns to add")
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values) if isinstance(values, np.ndarray) else values)
    chosen = keep(rows)
    rows = rows.select(names)  # Spark reads the columns by position
    rows = rows if chosen.all() else rows.filter(pa.array(chosen))
    yield from rows.to_batches(max_chunksize=ROWS_PER_BATCH)


def complete(batches: Iterator[pa.RecordBatch]) -> pa.Table | None:
    """All rows of a task; None for an empty task, to which Spark sends no batch."""
    received = [batch for batch in batches if batch.num_rows]
    return pa.Table.from_batches(received).combine_chunks() if received else None


def integers(rows: pa.Table, name: str) -> Ints:
    """A column of whole numbers; null becomes 0."""
    return np.asarray(rows[name].fill_null(0).to_numpy(), dtype=np.int64)


def placed(rows: pa.Table, name: str) -> Ints:
    """A column of :data:`movierate_spark.features.segments.PLACE`: 0 where no key is split."""
    return integers(rows, name) if name in rows.column_names else np.zeros(rows.num_rows, dtype=np.int64)


def seconds(rows: pa.Table, *names: str) -> Ints:
    """The epoch second of the first of some times that is known; before all others where none is."""
    times = pc.coalesce(*(rows[name].cast(pa.timestamp("us")).cast(pa.int64()) for name in names))
    epoch = np.floor_divide(np.asarray(times.fill_null(0).to_numpy()), MICROS_PER_SECOND)
    return np.where(times.is_valid().to_numpy(), epoch, BEFORE_ALL)


def known(rows: pa.Table, name: str) -> NDArray[np.bool_]:
    """Whether a column has a value, not null."""
    return np.asarray(rows[name].is_valid().to_numpy())


def codes(rows: pa.Table, name: str) -> Ints:
    """A code from 0 on for each distinct value of a column; null is a value too."""
    encoded = rows[name].combine_chunks().dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices.to_numpy(), dtype=np.int64)


def histories(rows: pa.Table, key: str) -> Ints:
    """A number for each key, or for each (segment, part) of a heavy key: each has its own history."""
    return groups(groups(codes(rows, key), placed(rows, "segment")), placed(rows, "part"))


def groups(outer: Ints, inner: Ints) -> Ints:
    """A number for each pair of codes; codes count from 0."""
    return np.asarray(outer * (inner.max(initial=0) + 1) + inner)


def genres_of(rows: pa.Table) -> tuple[Ints, Ints]:
    """Two arrays with an entry per genre of each row: the row's number and the genre's code.

    :data:`GENRE_LIST` is null where the movie is not known.
    """
    encoded = rows[GENRE_LIST].combine_chunks().dictionary_encode()
    lists = [*(json.loads(text) for text in encoded.dictionary.to_pylist()), []]
    code_of = {genre: code for code, genre in enumerate(sorted({genre for each in lists for genre in each}))}
    genre = np.array([code_of[genre] for each in lists for genre in each], dtype=np.int64)
    first = np.cumsum([0, *map(len, lists)])
    kind = np.asarray(encoded.indices.fill_null(len(lists) - 1).to_numpy(), dtype=np.int64)
    place, offset = expanded(first[kind], first[kind + 1])
    return np.repeat(np.arange(rows.num_rows), np.diff(offset)), genre[place]
