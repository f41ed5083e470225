"""The log of ratings as what each of them changes from its own second on.

A later rating of a movie by the same user, a *re-rating*, stands in the earlier one's place for all rows of
strictly later seconds, and in nothing before. So a rating adds to totals what it has beyond the one that it
replaces, and a *withdrawal* takes back what only the earlier rating knew: its residual, which hangs on the
movie's mean at that time.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from movierate_spark.columns import is_liked

SUMS = ["n", "tenths", "likes"]
EVENT_COLUMNS = ("replaced", "withdrawn_at")


def events(ratings: DataFrame, *, has_re_ratings: bool) -> DataFrame:
    """Ratings (user_id, movie_id, rated_at, rating), and a withdrawal of each that is replaced later.

    Adds ``at``, the second of a rating and of the one that is withdrawn; ``replaced``, the stars of the
    rating in whose place this one stands (null: there is none); and ``withdrawn_at``, when a withdrawal
    counts (null for a rating). Without ``has_re_ratings`` nobody has rated a movie twice: that saves a
    shuffle.
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
    """What a row adds to later rows' totals, :data:`SUMS`: whole numbers, 0 for a request or a withdrawal.

    A re-rating adds no rating, and its tenths of stars and its like less those of the one that it replaces.
    """
    rating, replaced = F.col("rating"), F.col("replaced")
    counts = F.col("withdrawn_at").isNull()
    whole = {
        "n": rating.isNotNull().cast("long") - replaced.isNotNull().cast("long"),
        "tenths": _tenths(rating) - _tenths(replaced),
        "likes": _like(rating, min_rating) - _like(replaced, min_rating),
    }
    return {name: F.when(counts, value).otherwise(F.lit(0)) for name, value in whole.items()}


def counts_from() -> Column:
    """The epoch second from which on (for strictly later rows) an event counts for its user."""
    return F.unix_seconds(F.coalesce("withdrawn_at", "at"))


def _tenths(stars: Column) -> Column:
    return F.coalesce(F.round(stars * 10).cast("long"), F.lit(0))


def _like(stars: Column, min_rating: float) -> Column:
    return F.coalesce(is_liked(stars, min_rating=min_rating).cast("long"), F.lit(0))
