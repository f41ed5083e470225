"""What was known of a user and a movie strictly before a second: one code path for all rows.

A *timeline* holds ratings and, for scoring, requests side by side: ``user_id``, ``movie_id``,
``at`` and ``rating``, null for a request. Every row is given the totals of the ratings made in
strictly earlier seconds; a request adds nothing to anybody's totals.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from movierate_spark.columns import is_liked
from movierate_spark.features.expressions import shrunk

COLUMNS = (
    "user_count",
    "user_mean",
    "user_like_rate",
    "movie_count",
    "movie_mean",
    "movie_like_rate",
    "prior_mean",
    "prior_like_rate",
)


def before(*keys: str) -> WindowSpec:
    """Earlier seconds only: ratings made in one second never see each other."""
    return Window.partitionBy(*keys).orderBy("second").rangeBetween(Window.unboundedPreceding, -1)


def with_history(
    timeline: DataFrame, *, threshold: float, shrinkage_user: float, shrinkage_movie: float
) -> DataFrame:
    """Add :data:`COLUMNS` to a timeline; its grain stays.

    Counts are ratings; means are stars and like rates fractions, both drawn towards the mean of
    all ratings made before the row's day (UTC). Sums are of whole tenths of stars, exact in any order.
    """
    tenths = F.round(F.col("rating") * 10).cast("long")
    liked = is_liked(F.col("rating"), threshold=threshold).cast("long")
    events = timeline.withColumns(
        {"second": F.unix_seconds("at"), "day": F.to_date("at"), "tenths": tenths, "like": liked}
    )
    totals = _with_prior(events, threshold).withColumns(
        {
            name: column
            for side in ("user", "movie")
            for name, column in _totals(side, before(f"{side}_id")).items()
        }
    )
    rates = {
        name: column
        for side, shrinkage in (("user", shrinkage_user), ("movie", shrinkage_movie))
        for name, column in _rates(side, shrinkage).items()
    }
    return totals.withColumns(rates).select(*timeline.columns, *COLUMNS)


def _totals(side: str, window: WindowSpec) -> dict[str, Column]:
    return {
        f"{side}_count": F.count("rating").over(window),
        f"{side}_tenths": F.coalesce(F.sum("tenths").over(window), F.lit(0)),
        f"{side}_likes": F.coalesce(F.sum("like").over(window), F.lit(0)),
    }


def _rates(side: str, shrinkage: float) -> dict[str, Column]:
    count = F.col(f"{side}_count")
    mean = shrunk(F.col(f"{side}_tenths") / 10, count, prior=F.col("prior_mean"), shrinkage=shrinkage)
    rate = shrunk(F.col(f"{side}_likes"), count, prior=F.col("prior_like_rate"), shrinkage=shrinkage)
    return {f"{side}_mean": mean, f"{side}_like_rate": rate}


def _with_prior(events: DataFrame, threshold: float) -> DataFrame:
    """Add the mean rating and like rate of all ratings of earlier days.

    Before the first day has ended nothing is known: a rating at the threshold, liked or not alike.
    """
    earlier = Window.orderBy("day").rowsBetween(Window.unboundedPreceding, -1)
    days = events.groupBy("day").agg(
        F.count("rating").alias("n"), F.sum("tenths").alias("tenths"), F.sum("like").alias("likes")
    )
    n = F.sum("n").over(earlier)
    # A like rate of 0 or 1 has no log odds: two ratings' worth of doubt keep it inside.
    like_rate = (F.sum("likes").over(earlier) + 1) / (n + 2)
    priors = days.select(
        "day",
        F.coalesce(F.sum("tenths").over(earlier) / (F.nullif(n, F.lit(0)) * 10), F.lit(threshold)).alias(
            "prior_mean"
        ),
        F.coalesce(like_rate, F.lit(0.5)).alias("prior_like_rate"),
    )
    return events.join(F.broadcast(priors), "day")
