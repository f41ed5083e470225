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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from movierate_spark.features.packing import pack

ORDINARY, TOTALS, RECENT = 0, 1, 2
PLACE = ("segment", "part", "kind", "task")
"""What :func:`in_segments` adds to events."""
SECONDS_PER_HOUR = 3600
BEFORE_ALL = -(2**62)  # the second of summary totals: before any rating
BUCKETS = 4096
LEAST_ROWS = 100_000  # a task with fewer rows costs more than it saves


@dataclass(frozen=True)
class Segments:
    """How the rows of heavy keys are split.

    ``hours`` (key, hour, segment) are hours that lie in one segment. ``seconds`` (key, second, segment,
    parts) are the seconds of larger hours. ``units`` (key, segment, part, task) are never split between
    tasks.
    """

    hours: DataFrame
    seconds: DataFrame
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
    """Plan tasks of at most ``max_rows`` rows, not counting summary rows. It counts rows per key (an action).

    ``rows`` have user_id, movie_id and ``second``. Rows that are equal in all three are always in the same
    task, so that a task may exceed ``max_rows`` if there are more than that.
    """
    half = max(max_rows // 2, 1)
    counts = rows.groupBy(key).count()
    bucket_count, light, has_heavy = _light_buckets(counts, key, half=half, max_rows=max_rows)
    spark = rows.sparkSession
    heavy_sizes: list[tuple[tuple[int, int, int], int]] = []
    if has_heavy:
        hours, seconds = _pieces(rows, counts.where(F.col("count") > half).select(key), key, half)
        heavy_sizes = _unit_sizes(rows, hours, seconds, key)
    total = sum(size for _, size in light) + sum(size for _, size in heavy_sizes)
    partitions = int(spark.conf.get("spark.sql.shuffle.partitions") or 1)
    capacity = min(max_rows, max(LEAST_ROWS, math.ceil(total / partitions)))
    tasks = pack([size for _, size in (*light, *heavy_sizes)], capacity=capacity)
    count, heavy, buckets = max(tasks, default=0) + 1, None, None
    if count > 1:
        buckets = _table(spark, ("bucket", "task"), [(bucket,) for bucket, _ in light], tasks[: len(light)])
    if has_heavy:
        units = [unit for unit, _ in heavy_sizes]
        placed = _table(spark, (key, "segment", "part", "task"), units, tasks[len(light) :])
        heavy = Segments(hours.drop("count"), seconds.drop("count"), placed)
    return Layout(key, count, bucket_count, buckets, heavy)


def _light_buckets(
    counts: DataFrame, key: str, *, half: int, max_rows: int
) -> tuple[int, list[tuple[int, int]], bool]:
    """The number of buckets, (bucket, rows of keys that are not heavy), and whether there are heavy keys."""
    bucket_count, light, has_heavy = BUCKETS, [(0, max_rows + 1)], False
    while max((size for _, size in light), default=0) > max_rows:
        is_light = F.col("count") <= half
        by_bucket = counts.groupBy(_bucket(key, bucket_count).alias("bucket")).agg(
            F.sum(F.when(is_light, F.col("count"))).alias("rows"), F.count_if(~is_light).alias("heavy")
        )
        counted = by_bucket.collect()  # a few thousand numbers
        light = sorted((row["bucket"], row["rows"]) for row in counted if row["rows"])
        has_heavy = any(row["heavy"] for row in counted)
        bucket_count *= 4
    return bucket_count // 4, light, has_heavy


def _bucket(key: str, bucket_count: int) -> Column:
    return F.pmod(F.xxhash64(key), F.lit(bucket_count))


def _pieces(rows: DataFrame, heavy_keys: DataFrame, key: str, half: int) -> tuple[DataFrame, DataFrame]:
    """The hours and seconds of :class:`Segments` with their ``count`` of rows.

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
    parts = F.when(is_large, F.ceil(F.col("count") / half)).otherwise(F.lit(1))
    start = F.coalesce(F.col("second"), F.col("hour") * SECONDS_PER_HOUR)
    before = Window.partitionBy(key).orderBy(start).rowsBetween(Window.unboundedPreceding, -1)
    alone = (F.col("parts") > 1).cast("long")
    rows_before = F.coalesce(F.sum((1 - alone) * F.col("count")).over(before), F.lit(0))
    alone_before = F.coalesce(F.sum(alone).over(before), F.lit(0))
    segment = F.floor(rows_before / half) + 2 * alone_before + alone
    cut = pieces.withColumn("parts", parts).withColumn("segment", segment)
    return (
        cut.where(F.col("second").isNull()).select(key, "hour", "segment", "count"),
        cut.where(F.col("second").isNotNull()).select(key, "second", "segment", "parts", "count"),
    )


def _unit_sizes(
    rows: DataFrame, hours: DataFrame, seconds: DataFrame, key: str
) -> list[tuple[tuple[int, int, int], int]]:
    """Each unit (key, segment, part) of heavy keys and its rows: a few numbers for each task."""
    unsplit_seconds = seconds.where(F.col("parts") == 1).select(key, "segment", "count")
    in_parts = seconds.where(F.col("parts") > 1).drop("count")
    split_rows = rows.join(F.broadcast(in_parts), [key, "second"]).withColumn("part", _part())
    unsplit = (
        hours.select(key, "segment", "count")
        .unionByName(unsplit_seconds)
        .withColumn("part", F.lit(0).cast("long"))
    )
    counted = unsplit.unionByName(split_rows.groupBy(key, "segment", "part").count())
    sizes = counted.groupBy(key, "segment", "part").agg(F.sum("count").alias("rows"))
    return sorted(((row[key], row["segment"], row["part"]), row["rows"]) for row in sizes.collect())


def _part() -> Column:
    return F.pmod(F.xxhash64("user_id", "movie_id"), F.col("parts"))


def _table(
    spark: SparkSession, names: Sequence[str], keys: Sequence[tuple[int, ...]], tasks: Sequence[int]
) -> DataFrame:
    """Keys and their tasks as a small frame; as literals of a query, keys would appear in event logs."""
    columns: list[Any] = [*zip(*keys, strict=True), tasks] if keys else [[] for _ in names]
    arrays = {name: pa.array(values, pa.int64()) for name, values in zip(names, columns, strict=True)}
    return spark.createDataFrame(pa.table(arrays))


def in_segments(
    events: DataFrame,
    layout: Layout,
    *,
    within: Sequence[str] = (),
    sums: Sequence[str],
    recent: int = 0,
) -> DataFrame:
    """Add the columns :data:`PLACE` to events, and append the summary rows of heavy keys.

    Totals of the columns ``sums`` (whole numbers) are computed by the columns ``within``. ``recent`` is the
    number of the key's last ratings that each segment gets. Other columns of summary rows are null.
    """
    key, heavy = layout.key, layout.heavy
    ordinary = events.withColumn("kind", F.lit(ORDINARY))
    if heavy is None:
        unsplit = {"segment": F.lit(0).cast("long"), "part": F.lit(0).cast("long"), "task": F.lit(None)}
        return _with_task(ordinary.withColumns(unsplit), layout)
    located = _located(ordinary, heavy, key)
    heavy_events = located.where("is_heavy")
    later = heavy.units.select(key, F.col("segment").alias("later"), F.col("part").alias("in_part"))
    later = F.broadcast(later)
    rows = located.unionByName(_totals(heavy_events, later, key, within, sums), allowMissingColumns=True)
    if recent:
        rows = rows.unionByName(_recent(heavy_events, later, key, recent), allowMissingColumns=True)
    placed = rows.join(F.broadcast(heavy.units), [key, "segment", "part"], "left")
    return _with_task(placed.drop("is_heavy"), layout)


def _with_task(rows: DataFrame, layout: Layout) -> DataFrame:
    """Set a null ``task`` to the task of the key's bucket."""
    if layout.buckets is None:
        return rows.withColumn("task", F.coalesce(F.col("task").cast("long"), F.lit(0)))
    by_bucket = F.broadcast(layout.buckets.withColumnRenamed("task", "of_bucket"))
    bucketed = rows.withColumn("bucket", _bucket(layout.key, layout.bucket_count))
    placed = bucketed.join(by_bucket, "bucket", "left")
    task = F.coalesce(F.col("task").cast("long"), "of_bucket")
    return placed.withColumn("task", task).drop("bucket", "of_bucket")


def _located(events: DataFrame, heavy: Segments, key: str) -> DataFrame:
    """Add ``is_heavy``, ``segment`` and ``part``; segment and part are 0 for keys that are not heavy."""
    of_hour = heavy.hours.withColumnRenamed("segment", "of_hour")
    of_second = heavy.seconds.withColumnRenamed("segment", "of_second")
    return (
        events.withColumn("hour", _hour())
        .join(F.broadcast(of_hour), [key, "hour"], "left")
        .join(F.broadcast(of_second), [key, "second"], "left")
        .withColumns(
            {
                "is_heavy": F.coalesce("of_hour", "of_second").isNotNull(),
                "segment": F.coalesce("of_hour", "of_second", F.lit(0).cast("long")),
                "part": F.coalesce(F.when(F.col("parts") > 1, _part()), F.lit(0).cast("long")),
            }
        )
        .drop("hour", "of_hour", "of_second", "parts")
    )


def _totals(
    heavy: DataFrame, later: DataFrame, key: str, within: Sequence[str], sums: Sequence[str]
) -> DataFrame:
    """The summary rows with the totals of all segments before each segment."""
    added = [F.sum(name).alias(name) for name in sums]
    by_segment = heavy.groupBy(key, "segment", *within).agg(*added)
    carried = by_segment.join(later, key).where(F.col("segment") < F.col("later"))
    to = F.col("later").alias("segment"), F.col("in_part").alias("part")
    return carried.groupBy(key, *to, *within).agg(
        *added, F.lit(BEFORE_ALL).alias("second"), F.lit(TOTALS).alias("kind")
    )


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
