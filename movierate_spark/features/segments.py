"""Spread the rows of users or movies over tasks, so that none of them holds more than its share.

Most keys go to a task whole. The history of a key with more rows than that is cut into *segments* by time: at
hours, at seconds where an hour is too large, and into parts of a second where that is. Each segment is given
what came before it as *summary rows*: the totals of all earlier segments, and, where asked for, their last
ratings. Totals of whole numbers add up exactly, so that a key's features are the same however it is cut. Rows
of one second never see each other: its parts need nothing but what came before.
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
BEFORE_ALL = -(2**62)
BUCKETS = 4096
LEAST_ROWS = 100_000  # fewer are not worth a task of their own


@dataclass(frozen=True)
class Segments:
    """Where the rows of heavy keys belong.

    ``hours`` (key, hour, segment) and ``seconds`` (key, second, segment, parts) are the pieces of time that
    are not cut further: an hour is in one of them. ``units`` (key, segment, part, task) are the pieces that
    a task takes whole.
    """

    hours: DataFrame
    seconds: DataFrame
    units: DataFrame


@dataclass(frozen=True)
class Layout:
    """How the rows of a key's groups are spread over ``tasks``.

    The other keys go by ``buckets`` (bucket, task) of their hash, None where there is one task for all of
    them; ``heavy`` is None where no key is too large for a task.
    """

    key: str
    tasks: int
    bucket_count: int
    buckets: DataFrame | None
    heavy: Segments | None

    def spread(self, placed: DataFrame) -> DataFrame:
        """Bring the rows of each task together."""
        return placed.repartitionById(self.tasks, F.col("task").cast("int")).drop("task")


def layout(rows: DataFrame, key: str, *, max_rows: int) -> Layout:
    """Tasks of at most ``max_rows`` rows each, summary rows aside; counts the rows of each key (an action).

    ``rows`` have user_id, movie_id and ``second``. Requests that are the same in all three stay together.
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
    usual = int(spark.conf.get("spark.sql.shuffle.partitions") or 1)
    capacity = min(max_rows, max(LEAST_ROWS, math.ceil(total / usual)))
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
    """How many buckets there are, (bucket, rows of its light keys), and whether there are heavy keys."""
    bucket_count, light, has_heavy = BUCKETS, [(0, max_rows + 1)], False
    while max((size for _, size in light), default=0) > max_rows:
        is_light = F.col("count") <= half
        by_bucket = counts.groupBy(_bucket(key, bucket_count).alias("bucket")).agg(
            F.sum(F.when(is_light, F.col("count"))).alias("rows"), F.count_if(~is_light).alias("heavy")
        )
        found = by_bucket.collect()  # a few thousand numbers
        light = sorted((row["bucket"], row["rows"]) for row in found if row["rows"])
        has_heavy = any(row["heavy"] for row in found)
        bucket_count *= 4
    return bucket_count // 4, light, has_heavy


def _bucket(key: str, bucket_count: int) -> Column:
    return F.pmod(F.xxhash64(key), F.lit(bucket_count))


def _pieces(rows: DataFrame, heavy_keys: DataFrame, key: str, half: int) -> tuple[DataFrame, DataFrame]:
    """The hours and seconds of :class:`Segments` with their ``count`` of rows.

    A segment begins with the first piece after ``half`` rows, and no piece has more rows than that: it holds
    at most twice as many. A second of more rows is a segment of its own, in parts.
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
    whole_seconds = seconds.where(F.col("parts") == 1).select(key, "segment", "count")
    in_parts = seconds.where(F.col("parts") > 1).drop("count")
    dealt = rows.join(F.broadcast(in_parts), [key, "second"]).withColumn("part", _part())
    whole = (
        hours.select(key, "segment", "count")
        .unionByName(whole_seconds)
        .withColumn("part", F.lit(0).cast("long"))
    )
    counted = whole.unionByName(dealt.groupBy(key, "segment", "part").count())
    sizes = counted.groupBy(key, "segment", "part").agg(F.sum("count").alias("rows"))
    return sorted(((row[key], row["segment"], row["part"]), row["rows"]) for row in sizes.collect())


def _part() -> Column:
    return F.pmod(F.xxhash64("user_id", "movie_id"), F.col("parts"))


def _table(
    spark: SparkSession, names: Sequence[str], keys: Sequence[tuple[int, ...]], tasks: Sequence[int]
) -> DataFrame:
    """Keys and their tasks as a small frame: a key must be no literal of a query, which event logs quote."""
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
    """Add :data:`PLACE` to events, and the summary rows of heavy keys.

    ``within`` names the columns that totals are wanted by, ``sums`` the whole numbers that add up, and
    ``recent`` how many of the key's last ratings a segment is given. Other columns of summary rows are null.
    """
    key, heavy = layout.key, layout.heavy
    ordinary = events.withColumn("kind", F.lit(ORDINARY))
    if heavy is None:
        uncut = {"segment": F.lit(0).cast("long"), "part": F.lit(0).cast("long"), "task": F.lit(None)}
        return _with_task(ordinary.withColumns(uncut), layout)
    located = _located(ordinary, heavy, key)
    of_heavy = located.where("is_heavy")
    later = heavy.units.select(key, F.col("segment").alias("later"), F.col("part").alias("in_part"))
    later = F.broadcast(later)
    whole = located.unionByName(_totals(of_heavy, later, key, within, sums), allowMissingColumns=True)
    if recent:
        whole = whole.unionByName(_recent(of_heavy, later, key, recent), allowMissingColumns=True)
    placed = whole.join(F.broadcast(heavy.units), [key, "segment", "part"], "left")
    return _with_task(placed.drop("is_heavy"), layout)


def _with_task(rows: DataFrame, layout: Layout) -> DataFrame:
    """The rows with a ``task`` where they have none yet: that of their key's bucket."""
    if layout.buckets is None:
        return rows.withColumn("task", F.coalesce(F.col("task").cast("long"), F.lit(0)))
    by_bucket = F.broadcast(layout.buckets.withColumnRenamed("task", "of_bucket"))
    bucketed = rows.withColumn("bucket", _bucket(layout.key, layout.bucket_count))
    placed = bucketed.join(by_bucket, "bucket", "left")
    task = F.coalesce(F.col("task").cast("long"), "of_bucket")
    return placed.withColumn("task", task).drop("bucket", "of_bucket")


def _located(events: DataFrame, heavy: Segments, key: str) -> DataFrame:
    """Add ``is_heavy``, ``segment`` and ``part``; the keys that are not heavy have the segment 0 only."""
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
    added = [F.sum(name).alias(name) for name in sums]
    by_segment = heavy.groupBy(key, "segment", *within).agg(*added)
    carried = by_segment.join(later, key).where(F.col("segment") < F.col("later"))
    to = F.col("later").alias("segment"), F.col("in_part").alias("part")
    return carried.groupBy(key, *to, *within).agg(
        *added, F.lit(BEFORE_ALL).alias("second"), F.lit(TOTALS).alias("kind")
    )


def _recent(heavy: DataFrame, later: DataFrame, key: str, recent: int) -> DataFrame:
    """The last ratings before each segment, of each movie the latest one."""
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
