"""Calibration: from the model's log odds to probabilities, fitted on rows that the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from scipy.optimize import isotonic_regression

from movierate_spark.columns import LABEL, sigmoid
from movierate_spark.model.newton import fit_plain
from movierate_spark.storage.documents import Calibration

NONE = Calibration(method="none")
"""The probability is the sigmoid of the logit."""


def fit_calibration(rows: DataFrame, *, method: str) -> Calibration:
    """Fit a calibration on rows with ``logit`` and ``label``.

    ``platt``: the calibrated log odds are ``slope * logit + intercept``, fitted to Platt's targets, which are
    a little less than 1 and more than 0 (Platt 1999, Probabilistic outputs for support vector machines). So
    a few rows that a logit separates have no infinite slope. ``isotonic``: the probability is interpolated
    between the points ``logits`` and ``probabilities``, which never decrease (Zadrozny and Elkan 2002); it is
    fitted on the like rates of logits rounded to a tenth. With rows of a single class, or a slope that is not
    positive, the result is ``none``: the logit is not changed.
    """
    counts = {row[LABEL]: row["count"] for row in rows.groupBy(LABEL).count().collect()}
    if method != "none" and len(counts) == 2:
        if method == "isotonic":
            return _isotonic(rows)
        liked, other = (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2)
        targets = rows.withColumn(LABEL, F.when(F.col(LABEL) == 1, liked).otherwise(other))
        intercept, (slope,) = fit_plain(targets, {"platt": ("logit",)})["platt"]
        if slope > 0:
            return Calibration(method="platt", slope=slope, intercept=intercept)
    return NONE


def _isotonic(rows: DataFrame) -> Calibration:
    by_tenth = rows.groupBy(F.round("logit", 1).alias("tenth")).agg(
        F.avg("logit").alias("logit"), F.sum(LABEL).alias("likes"), F.count(LABEL).alias("rows")
    )
    bins = by_tenth.toPandas().sort_values("logit")  # as many as there are tenths between all logits
    logit, likes, weight = (bins[name].to_numpy(dtype=float) for name in ("logit", "likes", "rows"))
    first = isotonic_regression(likes / weight, weights=weight).blocks[:-1]
    pooled_likes, pooled_rows = np.add.reduceat(likes, first), np.add.reduceat(weight, first)
    # Half a like and half another rating more, so that no probability is 0 or 1.
    smoothed = (pooled_likes + 0.5) / (pooled_rows + 1)
    probabilities = isotonic_regression(smoothed, weights=pooled_rows).x
    last = np.append(first[1:], len(logit)) - 1
    ends = np.column_stack([logit[first], logit[last]]).ravel()
    return Calibration(
        method="isotonic",
        logits=tuple(ends.tolist()),
        probabilities=tuple(np.repeat(probabilities, 2).tolist()),
    )


def with_probability(rows: DataFrame, calibration: Calibration) -> DataFrame:
    """Add the calibrated probability ``p_like`` to rows with ``logit``."""
    return rows.withColumn("p_like", calibrated(F.col("logit"), calibration))


def calibrated(logit: Column, calibration: Calibration) -> Column:
    """The probability of the model's log odds under a fitted calibration."""
    if calibration.method == "isotonic":
        return interpolated(logit, calibration.logits, calibration.probabilities)
    if calibration.method == "platt":
        return sigmoid(logit * F.lit(calibration.slope) + F.lit(calibration.intercept))
    return sigmoid(logit)


def interpolated(x: Column, knots: Sequence[float], values: Sequence[float]) -> Column:
    """Linear interpolation between (knot, value) points; constant outside them. Knots must not decrease.

    It is computed as the first value plus the part of each rise below ``x``.
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
