"""Events: what each rating changes in the totals of strictly later seconds.

A *re-rating*, a user's later rating of the same movie, replaces the earlier rating for all rows of strictly
later seconds. It therefore adds to the totals only its difference from the rating that it replaces. A
*withdrawal* takes back the earlier rating's residual, which depends on the movie's mean at that time.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from movierate_spark.columns import is_liked

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


def counts_from() -> Column:
    """The epoch second of an event for its user: it counts for rows of strictly later seconds."""
    return F.unix_seconds(F.coalesce("withdrawn_at", "at"))


def _tenths(stars: Column) -> Column:
    return F.coalesce(F.round(stars * 10).cast("long"), F.lit(0))


def _like(stars: Column, min_rating: float) -> Column:
    return F.coalesce(is_liked(stars, min_rating=min_rating).cast("long"), F.lit(0))
