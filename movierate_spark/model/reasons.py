"""The reasons of a score: what each source attribute adds to the log odds, with readable names."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import added_up
from movierate_spark.features.names import FEATURES, NUMBERS, feature_sources
from movierate_spark.features.taste import SIMILAR_RATINGS
from movierate_spark.schemas import SCORES

OTHER = "other"
REASON = ("feature", "contribution")
NAMED_RATINGS = ("named_rating_1", "named_rating_2", "named_rating_3")
"""The columns of the user's own ratings that may be reasons."""
SIMILAR_MOVIES = NUMBERS["user_neighbours"][1]


def with_reasons(
    predicted: DataFrame, movies: DataFrame, model: LogisticRegressionModel, *, count: int
) -> DataFrame:
    """Add ``reasons`` to rows with ``features`` and ``logit``: an array of (feature, contribution).

    A contribution is the sum of coefficient times value over an attribute's slots, in log odds before
    calibration. The ``count`` largest by absolute value come first (equal ones by name), then ``other``: the
    rest and the intercept, so that all add up to ``logit``. The array is empty if ``count`` is 0.

    Where the rows have :data:`movierate_spark.features.taste.SIMILAR_RATINGS`, each of these ratings is a
    reason of its own, and the attribute that they belong to has the rest. ``movies`` have their titles.
    """
    kind = SCORES["reasons"].dataType
    if count == 0:
        return predicted.withColumn("reasons", F.array().cast(kind))
    slots = _coefficients(feature_sources(predicted.schema), model.coefficients.toArray().tolist())
    if not slots:
        return predicted.withColumn("reasons", F.array(_reason(F.lit(OTHER), F.col("logit"))).cast(kind))
    contributions = {source: _sum(of_source) for source, of_source in slots.items()}
    of_ratings: list[Column] = []
    if SIMILAR_RATINGS in predicted.columns and SIMILAR_MOVIES in slots:
        ((_, coefficient),) = slots[SIMILAR_MOVIES]  # a single slot
        predicted = _with_named_ratings(predicted, movies, F.lit(coefficient))
        of_ratings = [F.col(name) for name in NAMED_RATINGS]
        contributions[SIMILAR_MOVIES] -= _total(of_ratings)
    of_sources = [_reason(F.lit(name), value) for name, value in contributions.items()]
    count = min(count, len(of_sources) + len(of_ratings))
    # No function with a lambda: Spark does not compile these, and a million rows take twice as long.
    every = F.sort_array(F.array(*map(_sized, [*of_sources, *of_ratings])))
    there = len(of_sources) + sum((rating.isNotNull().cast("int") for rating in of_ratings), F.lit(0))
    largest = F.slice(every, 1, F.least(F.lit(count), there))
    values = predicted.withColumn("slots", vector_to_array(F.col(FEATURES))).withColumn("largest", largest)
    named = F.arrays_zip(*(F.col(f"largest.{name}").alias(name) for name in REASON))
    of_largest = [F.get("largest", F.lit(place)) for place in range(count)]
    rest = _reason(F.lit(OTHER), F.col("logit") - _total(of_largest))
    reasons = F.concat(named, F.array(rest)).cast(kind)
    return values.withColumn("reasons", reasons).drop("slots", "largest", *NAMED_RATINGS)


def _coefficients(
    sources: Sequence[str], coefficients: Sequence[float]
) -> dict[str, list[tuple[int, float]]]:
    """Slot and coefficient of each source's slots; without those whose coefficient is 0."""
    slots: dict[str, list[tuple[int, float]]] = {}
    for slot, (source, coefficient) in enumerate(zip(sources, coefficients, strict=True)):
        if coefficient:
            slots.setdefault(source, []).append((slot, coefficient))
    return slots


def _sum(slots: Sequence[tuple[int, float]]) -> Column:
    return added_up([F.get("slots", F.lit(slot)) * F.lit(value) for slot, value in slots])


def _reason(feature: Column, contribution: Column) -> Column:
    return F.struct(feature.alias("feature"), contribution.alias("contribution"))


def _sized(reason: Column) -> Column:
    """In an order by size, and by name where it is equal; a reason that is null comes last."""
    size = F.coalesce(-F.abs(reason["contribution"]), F.lit(math.inf)).alias("size")
    return F.struct(size, *(reason[name].alias(name) for name in REASON))


def _total(reasons: Sequence[Column]) -> Column:
    """The sum of their contributions; null is 0."""
    return added_up([F.coalesce(reason["contribution"], F.lit(0.0)) for reason in reasons])


def _with_named_ratings(rows: DataFrame, movies: DataFrame, coefficient: Column) -> DataFrame:
    """Add the columns :data:`NAMED_RATINGS`: a reason for each of the similar ratings, or null.

    Example: ``because you rated Matrix, The (1999) 5 stars``. A movie without a title has its id.
    """
    reasons, joined = {}, rows
    # Most rows lack a rating at some place: a shuffle would send all of these to one task. The taste tables,
    # which every task has anyway, are far larger than the titles.
    titled = F.broadcast(movies.select("movie_id", "title"))
    for place, name in enumerate(NAMED_RATINGS):
        rating = F.get(SIMILAR_RATINGS, F.lit(place))
        titles = titled.select(F.col("movie_id").alias("rated_id"), F.col("title").alias(f"title_{place}"))
        joined = joined.join(titles, rating["movie_id"] == F.col("rated_id"), "left").drop("rated_id")
        title = F.coalesce(f"title_{place}", F.concat(F.lit("movie "), rating["movie_id"].cast("string")))
        text = F.concat(F.lit("because you rated "), title, F.lit(" "), _stars(rating["rating"]))
        reasons[name] = F.when(rating.isNotNull(), _reason(text, coefficient * rating["share"]))
    named = joined.withColumns(reasons)
    return named.drop(*(f"title_{place}" for place in range(len(NAMED_RATINGS))))


def _stars(rating: Column) -> Column:
    """Such as ``1 star``, ``4 stars`` or ``3.5 stars``."""
    number = F.regexp_replace(rating.cast("string"), r"\.0$", "")
    return F.concat(number, F.when(rating == 1, F.lit(" star")).otherwise(F.lit(" stars")))
