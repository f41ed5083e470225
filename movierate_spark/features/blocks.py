"""Break the history of a heavy user or movie by time, so that no task has to hold all of it.

A key with more rows than fit a task is cut into blocks of whole hours. Each block is given what came
before it as *summary rows*: the totals of all earlier blocks, and, where asked for, their last ratings.
Totals of whole numbers add up exactly, so that a key's features are the same however it is cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

ORDINARY, TOTALS, RECENT = 0, 1, 2
SECONDS_PER_HOUR = 3600
BEFORE_ALL = -(2**62)


@dataclass(frozen=True)
class Layout:
    """How the rows of a key's groups are spread over tasks.

    ``tasks`` is None where Spark's own number will do; ``hours`` (key, hour, block) tells the block of each
    hour of the heavy keys, None where there are none.
    """

    key: str
    tasks: int | None
    hours: DataFrame | None

    def spread(self, blocked: DataFrame) -> DataFrame:
        """Bring the rows of each key and block into one task."""
        by = (self.key, "block")
        return blocked.repartition(*by) if self.tasks is None else blocked.repartition(self.tasks, *by)


def layout(rows: DataFrame, key: str, *, max_rows: int) -> Layout:
    """Tasks of about ``max_rows`` rows each; counts the rows of each key (an action).

    ``rows`` have the key and ``second``. A block of a heavy key begins with the first hour after
    ``max_rows`` rows, so that it holds at most as many and the rest of its last hour.
    """
    counts = rows.groupBy(key).count()
    found = counts.agg(F.sum("count").alias("rows"), F.max("count").alias("most")).head()
    total, most = (found["rows"] or 0, found["most"] or 0) if found else (0, 0)
    tasks = math.ceil(total / max_rows)
    usual = int(rows.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1)
    hours = None if most <= max_rows else _heavy_hours(rows, counts, key, max_rows)
    return Layout(key, tasks if tasks > usual else None, hours)


def _heavy_hours(rows: DataFrame, counts: DataFrame, key: str, max_rows: int) -> DataFrame:
    heavy = counts.where(F.col("count") > max_rows).select(key)
    hours = rows.join(F.broadcast(heavy), key).groupBy(key, _hour().alias("hour")).count()
    before = Window.partitionBy(key).orderBy("hour").rowsBetween(Window.unboundedPreceding, -1)
    rows_before = F.coalesce(F.sum("count").over(before), F.lit(0))
    return hours.select(key, "hour", F.floor(rows_before / max_rows).alias("block"))


def in_blocks(
    events: DataFrame,
    layout: Layout,
    *,
    within: Sequence[str] = (),
    sums: Sequence[str],
    recent: int = 0,
) -> DataFrame:
    """Add ``block`` and ``kind`` to events, and the summary rows of heavy keys.

    ``within`` names the columns that totals are wanted by, ``sums`` the whole numbers that add up, and
    ``recent`` how many of the key's last ratings a block is given. Other columns of summary rows are null.
    """
    key, hours = layout.key, layout.hours
    if hours is None:
        return events.withColumns({"block": F.lit(0).cast("long"), "kind": F.lit(ORDINARY)})
    located = events.withColumn("hour", _hour()).join(F.broadcast(hours), [key, "hour"], "left").drop("hour")
    blocked = located.withColumns({"block": F.coalesce("block", F.lit(0)), "kind": F.lit(ORDINARY)})
    heavy = located.where(F.col("block").isNotNull())
    later = F.broadcast(hours.select(key, F.col("block").alias("later")).distinct())
    whole = blocked.unionByName(_totals(heavy, later, key, within, sums), allowMissingColumns=True)
    if recent:
        last = _recent(heavy, later, key, recent)
        whole = whole.unionByName(last, allowMissingColumns=True)
    return whole


def _totals(
    heavy: DataFrame, later: DataFrame, key: str, within: Sequence[str], sums: Sequence[str]
) -> DataFrame:
    added = [F.sum(name).alias(name) for name in sums]
    by_block = heavy.groupBy(key, "block", *within).agg(*added)
    carried = by_block.join(later, key).where(F.col("block") < F.col("later"))
    return carried.groupBy(key, F.col("later").alias("block"), *within).agg(
        *added, F.lit(BEFORE_ALL).alias("second"), F.lit(TOTALS).alias("kind")
    )


def _recent(heavy: DataFrame, later: DataFrame, key: str, recent: int) -> DataFrame:
    """The last ratings before each block, of each movie the latest one."""
    ratings = heavy.where(F.col("rating").isNotNull() & F.col("withdrawn_at").isNull())
    last_of_block = _newest(ratings, recent, key, "block")
    carried = last_of_block.join(later, key).where(F.col("block") < F.col("later"))
    newest = _newest(carried.withColumn("block", F.col("later")).drop("later"), recent, key, "block")
    return newest.withColumn("kind", F.lit(RECENT))


def _newest(ratings: DataFrame, recent: int, *keys: str) -> DataFrame:
    of_movie = _first(ratings, 1, Window.partitionBy(*keys, "movie_id").orderBy(F.desc("second")))
    newest = Window.partitionBy(*keys).orderBy(F.desc("second"), F.desc("movie_id"))
    return _first(of_movie, recent, newest)


def _first(rows: DataFrame, count: int, window: WindowSpec) -> DataFrame:
    place = F.row_number().over(window)
    return rows.withColumn("place", place).where(F.col("place") <= count).drop("place")


def _hour() -> Column:
    return F.floor(F.col("second") / SECONDS_PER_HOUR)
