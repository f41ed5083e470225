"""The reasons of a score: what each source attribute adds to the log odds, with readable names."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce

from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.features.names import FEATURES, feature_sources
from movierate_spark.schemas import SCORES

OTHER = "other"


def with_reasons(predicted: DataFrame, model: LogisticRegressionModel, *, count: int) -> DataFrame:
    """Add ``reasons`` to rows with ``features`` and ``logit``: an array of (feature, contribution).

    A contribution is the sum of coefficient times value over an attribute's slots, in log odds before
    calibration. The ``count`` largest by absolute value come first (equal ones by name), then ``other``: the
    rest and the intercept, so that all add up to ``logit``. The array is empty if ``count`` is 0.
    """
    kind = SCORES["reasons"].dataType
    if count == 0:
        return predicted.withColumn("reasons", F.array().cast(kind))
    contributions = _contributions(feature_sources(predicted.schema), model.coefficients.toArray().tolist())
    sized = [
        F.struct((-F.abs(value)).alias("size"), F.lit(name).alias("feature"), value.alias("contribution"))
        for name, value in contributions.items()
    ]
    values = predicted.withColumn("slots", vector_to_array(F.col(FEATURES)))
    largest = values.withColumn("largest", F.slice(F.array_sort(F.array(*sized)), 1, count)).drop("slots")
    named = F.transform("largest", lambda each: F.struct(each["feature"], each["contribution"]))
    listed = F.aggregate("largest", F.lit(0.0), lambda total, each: total + each["contribution"])
    rest = F.struct(F.lit(OTHER).alias("feature"), (F.col("logit") - listed).alias("contribution"))
    return largest.withColumn("reasons", F.concat(named, F.array(rest)).cast(kind)).drop("largest")


def _contributions(sources: Sequence[str], coefficients: Sequence[float]) -> dict[str, Column]:
    """The contribution of each source, from the array ``slots``; without sources whose coefficients are 0."""
    terms: dict[str, list[Column]] = {}
    for i, (source, coefficient) in enumerate(zip(sources, coefficients, strict=True)):
        if coefficient:
            terms.setdefault(source, []).append(F.get("slots", F.lit(i)) * F.lit(coefficient))
    return {source: reduce(operator.add, of_source) for source, of_source in terms.items()}
