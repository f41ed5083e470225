"""Probabilities that keep their word: from log odds to what happened on rows the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.ml.regression import IsotonicRegression
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL, sigmoid
from movierate_spark.model.newton import fit_plain
from movierate_spark.storage.documents import Calibration

NONE = Calibration(method="none")
"""The log odds are taken as they are."""


def fit_calibration(rows: DataFrame, *, method: str) -> Calibration:
    """Plain numbers that make a probability of ``logit``, from rows with ``logit`` and ``label``.

    ``platt``: the calibrated log odds are ``slope * logit + intercept`` (Platt 1999). ``isotonic``: the
    probability is interpolated between ``logits`` and ``probabilities``, neither ever falling (Zadrozny and
    Elkan 2002), fitted on the like rates of logits rounded to a tenth. Rows of a single class, or a slope
    that would turn the order round, leave the logit as it is.
    """
    if method != "none" and rows.select(LABEL).distinct().count() == 2:
        if method == "isotonic":
            return _isotonic(rows)
        intercept, (slope,) = fit_plain(rows, {"platt": ("logit",)})["platt"]
        if slope > 0:
            return Calibration(method="platt", slope=slope, intercept=intercept)
    return NONE


def _isotonic(rows: DataFrame) -> Calibration:
    binned = rows.groupBy(F.round("logit", 1).alias("bin")).agg(
        F.avg("logit").alias("features"),
        # Half a like and half a dislike more: no probability is ever 0 or 1.
        ((F.sum(LABEL) + 0.5) / (F.count(LABEL) + 1)).alias(LABEL),
        F.count(LABEL).cast("double").alias("rows"),
    )
    model = IsotonicRegression(weightCol="rows", labelCol=LABEL).fit(binned.coalesce(1).sort("features"))
    logits, probabilities = model.boundaries.toArray(), model.predictions.toArray()
    return Calibration(
        method="isotonic", logits=tuple(logits.tolist()), probabilities=tuple(probabilities.tolist())
    )


def with_probability(rows: DataFrame, calibration: Calibration) -> DataFrame:
    """Add ``p_like`` to rows with ``logit``."""
    return rows.withColumn("p_like", calibrated(F.col("logit"), calibration))


def calibrated(logit: Column, calibration: Calibration) -> Column:
    """The probability that a stored calibration makes of the model's log odds."""
    if calibration.method == "isotonic":
        return interpolated(logit, calibration.logits, calibration.probabilities)
    if calibration.method == "platt":
        return sigmoid(logit * F.lit(calibration.slope) + F.lit(calibration.intercept))
    return sigmoid(logit)


def interpolated(x: Column, knots: Sequence[float], values: Sequence[float]) -> Column:
    """The line through (knot, value) points, level outside them; knots never fall.

    The first value and the part of each rise that lies below ``x``.
    """
    pieces = [
        F.struct(
            F.lit(low).alias("low"),
            F.lit(high).alias("high"),
            F.lit((to - since) / (high - low)).alias("rise"),
        )
        for low, high, since, to in zip(knots, knots[1:], values, values[1:], strict=False)
        if high > low and to > since
    ]
    if not pieces:
        return F.lit(values[0])
    return F.aggregate(
        F.array(*pieces),
        F.lit(values[0]),
        lambda total, piece: (
            total + piece["rise"] * (F.greatest(F.least(x, piece["high"]), piece["low"]) - piece["low"])
        ),
    )
