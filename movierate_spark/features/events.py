"""Events: what each rating changes in the totals of strictly later seconds.

A *re-rating*, a user's later rating of the same movie, replaces the earlier rating for all rows of strictly
later seconds. It therefore adds to the totals only its difference from the rating that it replaces. A
*withdrawal* takes back the earlier rating's residual, which depends on the movie's mean at that time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from movierate_spark.columns import is_liked
from movierate_spark.features.earlier import Ints
from movierate_spark.features.task_columns import integers, known

SUMS = ["n", "tenths", "likes", "squares"]
EVENT_COLUMNS = ("replaced", "withdrawn_at")


def events(ratings: DataFrame, *, has_re_ratings: bool) -> DataFrame:
    """A row per rating, and a row per withdrawal of a rating that is replaced later.

    ``ratings`` have user_id, movie_id, rated_at and rating. Columns: user_id, movie_id, ``at`` (the time of
    the rating, or of the one that is withdrawn), ``rating`` in stars, ``replaced`` (the stars of the rating
    that this one replaces; null if there is none) and ``withdrawn_at`` (the time of the withdrawal; null for
    a rating). Without ``has_re_ratings``, no user may have rated a movie twice; this saves a shuffle.
    """
    keys = ("user_id", "movie_id")
    if not has_re_ratings:
        unknown = {"replaced": F.lit(None).cast("double"), "withdrawn_at": F.lit(None).cast("timestamp")}
        return ratings.select(*keys, F.col("rated_at").alias("at"), "rating").withColumns(unknown)
    before = F.lag(F.struct("rated_at", "rating")).over(Window.partitionBy(*keys).orderBy("rated_at"))
    replacing = ratings.withColumn("before", before)
    rating = _event(F.col("rated_at"), F.col("rating"), F.col("before.rating"), F.lit(None))
    withdrawal = _event(F.col("before.rated_at"), F.col("before.rating"), F.lit(None), F.col("rated_at"))
    both = F.when(F.col("before").isNull(), F.array(rating)).otherwise(F.array(rating, withdrawal))
    return replacing.select(*keys, F.inline(both))


def _event(at: Column, rating: Column, replaced: Column, withdrawn_at: Column) -> Column:
    return F.struct(
        at.alias("at"),
        rating.alias("rating"),
        replaced.cast("double").alias("replaced"),
        withdrawn_at.cast("timestamp").alias("withdrawn_at"),
    )


def added(min_rating: float) -> dict[str, Column]:
    """What a row adds to the totals :data:`SUMS` of later rows: whole numbers, 0 for a request or withdrawal.

    ``n`` counts ratings, ``tenths`` are tenths of stars, ``likes`` count likes, ``squares`` are squared
    tenths. A re-rating adds nothing to ``n``, and its difference from the replaced rating to the others.
    """
    rating, replaced = F.col("rating"), F.col("replaced")
    is_no_withdrawal = F.col("withdrawn_at").isNull()
    sums = {
        "n": rating.isNotNull().cast("long") - replaced.isNotNull().cast("long"),
        "tenths": _tenths(rating) - _tenths(replaced),
        "likes": _like(rating, min_rating) - _like(replaced, min_rating),
        "squares": _tenths(rating) * _tenths(rating) - _tenths(replaced) * _tenths(replaced),
    }
    return {name: F.when(is_no_withdrawal, value).otherwise(F.lit(0)) for name, value in sums.items()}


def added_in_task(rows: pa.Table, names: Sequence[str], *, min_rating: float) -> list[Ints]:
    """What :func:`added` gives for some of :data:`SUMS`, computed in a task: the sums need not be shuffled.

    A row without a time holds totals: it adds its own.
    """
    counts = ~known(rows, "withdrawn_at")
    rating, replaced = (_parts(rows, name, min_rating) for name in ("rating", "replaced"))
    computed = [np.where(counts, rating[name] - replaced[name], 0) for name in names]
    if names[0] not in rows.column_names:
        return computed
    is_total = ~known(rows, "at")
    pairs = zip(names, computed, strict=True)
    return [np.where(is_total, integers(rows, name), values) for name, values in pairs]


def _parts(rows: pa.Table, name: str, min_rating: float) -> dict[str, Ints]:
    is_known, stars = known(rows, name), np.asarray(rows[name].fill_null(0.0), dtype=np.float64)
    tenths = np.floor(stars * 10 + 0.5).astype(np.int64)
    likes = (stars >= min_rating) & is_known
    values = (is_known.astype(np.int64), tenths, likes.astype(np.int64), tenths * tenths)
    return dict(zip(SUMS, values, strict=True))


def counts_from() -> Column:
    """The epoch second of an event for its user: it counts for rows of strictly later seconds."""
    return F.unix_seconds(F.coalesce("withdrawn_at", "at"))


def _tenths(stars: Column) -> Column:
    return F.coalesce(F.round(stars * 10).cast("long"), F.lit(0))


def _like(stars: Column, min_rating: float) -> Column:
    return F.coalesce(is_liked(stars, min_rating=min_rating).cast("long"), F.lit(0))
