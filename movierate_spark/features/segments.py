"""Spread the rows of users or movies over tasks, so that no task has too many rows.

A key is a user or a movie. Most keys are in one task each. The history of a *heavy* key, with more rows than
half a task may have, is split by time into *segments*: between hours, between seconds if an hour has too many
rows, and a second with too many rows into *parts*. Each segment also gets *summary rows* of the earlier
segments: their totals and, if needed, their last ratings. Totals of whole numbers are exact, so a key's
features do not depend on the split. Parts of a second need no totals of each other, as rows of the same
second never see each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from movierate_spark.features.packing import pack

ORDINARY, TOTALS, RECENT = 0, 1, 2
PLACE = ("segment", "part", "kind", "task")
"""What :func:`in_segments` adds to events; where there are no heavy keys, the task alone."""
SECONDS_PER_HOUR = 3600
BEFORE_ALL = -(2**62)  # the second of summary totals: before any rating
AFTER_ALL = 2**62
BUCKETS = 4096
LEAST_ROWS = 100_000  # a task with fewer rows costs more than it saves
LEAST_TASKS = 32
"""For a log that gives each of them :data:`LEAST_ROWS`: smaller tasks sort their rows in less time."""

Unit = tuple[int, int, int]
"""Key, segment and part."""


@dataclass(frozen=True)
class Segments:
    """How the rows of heavy keys are split: a few rows for each task.

    ``borders`` (key, start, end, segment, parts): the segment of the seconds ``start`` <= second < ``end``.
    ``units`` (key, segment, part, task) are never split between tasks.
    """

    borders: DataFrame
    units: DataFrame


@dataclass(frozen=True)
class Layout:
    """How the rows of each ``key`` are spread over ``tasks``.

    Keys that are not heavy are assigned to a task by the bucket of their hash: ``buckets`` (bucket, task), or
    None if there is only one task. ``heavy`` says how heavy keys are split, or is None if there are none.
    """

    key: str
    tasks: int
    bucket_count: int
    buckets: DataFrame | None
    heavy: Segments | None

    def spread(self, placed: DataFrame) -> DataFrame:
        """Shuffle the rows to their tasks."""
        return placed.repartitionById(self.tasks, F.col("task").cast("int")).drop("task")


def layout(rows: DataFrame, key: str, *, max_rows: int) -> Layout:
    """Plan tasks of at most ``max_rows`` rows, not counting summary rows. It counts rows (an action).

    ``rows`` have user_id, movie_id and ``second``. Rows that are equal in all three are always in the same
    task, so that a task may exceed ``max_rows`` if there are more than that.
    """
    half = max(max_rows // 2, 1)
    bucket_count, light, has_heavy = _light_buckets(rows, key, half=half, max_rows=max_rows)
    spark = rows.sparkSession
    unit_sizes: dict[Unit, int] = {}
    if has_heavy:
        heavy_keys = rows.groupBy(key).count().where(F.col("count") > half).select(key)
        segments = _segments(rows, heavy_keys, key, half)
        borders = _borders(spark, segments, key)
        unit_sizes = _unit_sizes(rows, segments, borders, key)
    sizes = [*(size for _, size in light), *unit_sizes.values()]
    least_tasks = max(LEAST_TASKS, int(spark.conf.get("spark.sql.shuffle.partitions") or 1))
    tasks = pack(sizes, capacity=min(max_rows, max(LEAST_ROWS, math.ceil(sum(sizes) / least_tasks))))
    count, heavy, buckets = max(tasks, default=0) + 1, None, None
    if count > 1:
        rows_of_buckets = [
            (bucket, task) for (bucket, _), task in zip(light, tasks[: len(light)], strict=True)
        ]
        buckets = _table(spark, ("bucket", "task"), rows_of_buckets)
    if has_heavy:
        rows_of_units = [(*unit, task) for unit, task in zip(unit_sizes, tasks[len(light) :], strict=True)]
        heavy = Segments(borders, _table(spark, (key, "segment", "part", "task"), rows_of_units))
    return Layout(key, count, bucket_count, buckets, heavy)


def _light_buckets(
    rows: DataFrame, key: str, *, half: int, max_rows: int
) -> tuple[int, list[tuple[int, int]], bool]:
    """The number of buckets, (bucket, rows of keys that are not heavy), and whether there are heavy keys."""
    # A bucket with few rows has no heavy key, and its rows are quicker to count than those of each key.
    by_bucket = rows.groupBy(_bucket(key, BUCKETS).alias("bucket")).count()
    counted = by_bucket.collect()  # a few thousand numbers
    if max((row["count"] for row in counted), default=0) <= half:
        return BUCKETS, sorted((row["bucket"], row["count"]) for row in counted), False
    counts = rows.groupBy(key).count()
    bucket_count, light, has_heavy = BUCKETS, [(0, max_rows + 1)], False
    while max((size for _, size in light), default=0) > max_rows:
        is_light = F.col("count") <= half
        by_bucket = counts.groupBy(_bucket(key, bucket_count).alias("bucket")).agg(
            F.sum(F.when(is_light, F.col("count"))).alias("rows"), F.count_if(~is_light).alias("heavy")
        )
        counted = by_bucket.collect()
        light = sorted((row["bucket"], row["rows"]) for row in counted if row["rows"])
        has_heavy = any(row["heavy"] for row in counted)
        bucket_count *= 4
    return bucket_count // 4, light, has_heavy


def _bucket(key: str, bucket_count: int) -> Column:
    return F.pmod(F.xxhash64(key), F.lit(bucket_count))


def _segments(rows: DataFrame, heavy_keys: DataFrame, key: str, half: int) -> list[Row]:
    """The segments of heavy keys: key, segment, ``start``, ``parts`` and ``rows``, by key and start.

    A new segment begins after every ``half`` rows. No hour or second in it has more than ``half`` rows, so
    that a segment has at most twice as many. A second with more than ``half`` rows is a segment of its own,
    in parts.
    """
    of_heavy = rows.join(F.broadcast(heavy_keys), key)
    by_hour = of_heavy.groupBy(key, _hour().alias("hour")).count()
    is_large = F.col("count") > half
    large_hours = by_hour.where(is_large).select(key, "hour")
    by_second = (
        of_heavy.withColumn("hour", _hour())
        .join(F.broadcast(large_hours), [key, "hour"])
        .groupBy(key, "hour", "second")
        .count()
    )
    pieces = by_hour.where(~is_large).unionByName(by_second, allowMissingColumns=True)
    start = F.coalesce(F.col("second"), F.col("hour") * SECONDS_PER_HOUR)
    parts = F.when(is_large, F.ceil(F.col("count") / half)).otherwise(F.lit(1))
    before = Window.partitionBy(key).orderBy("start").rowsBetween(Window.unboundedPreceding, -1)
    alone = (F.col("parts") > 1).cast("long")
    rows_before = F.coalesce(F.sum((1 - alone) * F.col("count")).over(before), F.lit(0))
    alone_before = F.coalesce(F.sum(alone).over(before), F.lit(0))
    segment = F.floor(rows_before / half) + 2 * alone_before + alone
    cut = pieces.withColumns({"start": start, "parts": parts}).withColumn("segment", segment)
    least = F.min("start").alias("start"), F.max("parts").alias("parts"), F.sum("count").alias("rows")
    return sorted(cut.groupBy(key, "segment").agg(*least).collect(), key=lambda row: (row[key], row["start"]))


def _borders(spark: SparkSession, segments: Sequence[Row], key: str) -> DataFrame:
    ends = [
        after["start"] if after is not None and after[key] == row[key] else AFTER_ALL
        for row, after in zip_longest(segments, segments[1:])
    ]
    rows = [
        (row[key], row["start"], end, row["segment"], row["parts"])
        for row, end in zip(segments, ends, strict=True)
    ]
    return _table(spark, (key, "start", "end", "segment", "parts"), rows)


def _unit_sizes(rows: DataFrame, segments: Sequence[Row], borders: DataFrame, key: str) -> dict[Unit, int]:
    """How many rows each unit of a heavy key has, in a fixed order."""
    sizes = {(row[key], row["segment"], 0): row["rows"] for row in segments if row["parts"] == 1}
    if len(sizes) < len(segments):
        in_parts = _located(rows, borders.where("parts > 1"), key).where("is_heavy")
        counted = in_parts.groupBy(key, "segment", "part").agg(F.count("*").alias("rows")).collect()
        sizes |= {(row[key], row["segment"], row["part"]): row["rows"] for row in counted}
    return dict(sorted(sizes.items()))


def _table(spark: SparkSession, names: Sequence[str], rows: Sequence[tuple[int, ...]]) -> DataFrame:
    """Whole numbers as a small frame; as literals of a query, keys would appear in event logs."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    arrays = {name: pa.array(values, pa.int64()) for name, values in zip(names, columns, strict=True)}
    return spark.createDataFrame(pa.table(arrays))


def in_segments(
    events: DataFrame,
    layout: Layout,
    *,
    second: Column,
    within: Sequence[str] = (),
    sums: Mapping[str, Column],
    recent: int = 0,
) -> DataFrame:
    """Add the columns :data:`PLACE` to events, and append the summary rows of heavy keys.

    ``second`` is the epoch second from which an event counts. ``sums`` (whole numbers) are computed by the
    columns ``within``. ``recent`` is the number of the key's last ratings that each segment gets. Other
    columns of summary rows are null. Other rows have no sums: a task computes what it sums up.
    """
    key, heavy = layout.key, layout.heavy
    if heavy is None:
        return _with_task(events.withColumn("task", F.lit(None)), layout)
    located = _located(events.withColumns({"second": second, "kind": F.lit(ORDINARY)}), heavy.borders, key)
    heavy_events = located.where("is_heavy")
    later = heavy.units.select(key, F.col("segment").alias("later"), F.col("part").alias("in_part"))
    later = F.broadcast(later)
    rows = located.unionByName(_totals(heavy_events, later, key, within, sums), allowMissingColumns=True)
    if recent:
        rows = rows.unionByName(_recent(heavy_events, later, key, recent), allowMissingColumns=True)
    placed = rows.join(F.broadcast(heavy.units), [key, "segment", "part"], "left")
    return _with_task(placed.drop("is_heavy", "second"), layout)


def _with_task(rows: DataFrame, layout: Layout) -> DataFrame:
    """Set a null ``task`` to the task of the key's bucket."""
    if layout.buckets is None:
        return rows.withColumn("task", F.coalesce(F.col("task").cast("long"), F.lit(0)))
    by_bucket = F.broadcast(layout.buckets.withColumnRenamed("task", "of_bucket"))
    bucketed = rows.withColumn("bucket", _bucket(layout.key, layout.bucket_count))
    placed = bucketed.join(by_bucket, "bucket", "left")
    task = F.coalesce(F.col("task").cast("long"), "of_bucket")
    return placed.withColumn("task", task).drop("bucket", "of_bucket")


def _located(events: DataFrame, borders: DataFrame, key: str) -> DataFrame:
    """Add ``is_heavy``, ``segment`` and ``part``; segment and part are 0 where there is no border."""
    of_key = F.broadcast(borders.withColumnRenamed(key, "of_key"))
    is_within = (F.col("second") >= F.col("start")) & (F.col("second") < F.col("end"))
    part = F.pmod(F.xxhash64("user_id", "movie_id"), F.col("parts"))
    zero = F.lit(0).cast("long")
    return (
        events.join(of_key, (F.col(key) == F.col("of_key")) & is_within, "left")
        .withColumns(
            {
                "is_heavy": F.col("of_key").isNotNull(),
                "segment": F.coalesce("segment", zero),
                "part": F.coalesce(F.when(F.col("parts") > 1, part), zero),
            }
        )
        .drop("of_key", "start", "end", "parts")
    )


def _totals(
    heavy: DataFrame, later: DataFrame, key: str, within: Sequence[str], sums: Mapping[str, Column]
) -> DataFrame:
    """The summary rows with the totals of all segments before each segment."""
    of_segment = [F.sum(column).alias(name) for name, column in sums.items()]
    by_segment = heavy.groupBy(key, "segment", *within).agg(*of_segment)
    carried = by_segment.join(later, key).where(F.col("segment") < F.col("later"))
    to = F.col("later").alias("segment"), F.col("in_part").alias("part")
    added_up = [F.sum(name).alias(name) for name in sums]
    return carried.groupBy(key, *to, *within).agg(*added_up, F.lit(TOTALS).alias("kind"))


def _recent(heavy: DataFrame, later: DataFrame, key: str, recent: int) -> DataFrame:
    """The summary rows with the last ratings before each segment; of each movie only the latest."""
    ratings = heavy.where(F.col("rating").isNotNull() & F.col("withdrawn_at").isNull()).drop("part")
    last_of_segment = _newest(ratings, recent, key, "segment")
    carried = last_of_segment.join(later, key).where(F.col("segment") < F.col("later"))
    renamed = carried.drop("segment").withColumnsRenamed({"later": "segment", "in_part": "part"})
    return _newest(renamed, recent, key, "segment", "part").withColumn("kind", F.lit(RECENT))


def _newest(ratings: DataFrame, recent: int, *keys: str) -> DataFrame:
    of_movie = _first(ratings, 1, Window.partitionBy(*keys, "movie_id").orderBy(F.desc("second")))
    newest = Window.partitionBy(*keys).orderBy(F.desc("second"), F.desc("movie_id"))
    return _first(of_movie, recent, newest)


def _first(rows: DataFrame, count: int, window: WindowSpec) -> DataFrame:
    place = F.row_number().over(window)
    return rows.withColumn("place", place).where(F.col("place") <= count).drop("place")


def _hour() -> Column:
    return F.floor(F.col("second") / SECONDS_PER_HOUR)
