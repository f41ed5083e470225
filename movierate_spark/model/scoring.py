"""Probabilities from a fitted pipeline's log odds, as plain columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def sigmoid(log_odds: Column) -> Column:
    """Probability from log odds."""
    return F.lit(1.0) / (F.lit(1.0) + F.exp(-log_odds))


def calibrated(logit: Column, calibration: Mapping[str, Any]) -> Column:
    """The probability that a stored calibration makes of the model's log odds."""
    if calibration["method"] == "isotonic":
        return interpolated(logit, calibration["logits"], calibration["probabilities"])
    if calibration["method"] == "platt":
        return sigmoid(logit * F.lit(calibration["slope"]) + F.lit(calibration["intercept"]))
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


def with_logit(predicted: DataFrame) -> DataFrame:
    """Replace Spark ML's prediction columns by ``logit``, the log odds of liked before calibration."""
    logit = vector_to_array(F.col("rawPrediction"))[1]
    return predicted.withColumn("logit", logit).drop("rawPrediction", "probability", "prediction")


def with_probability(rows: DataFrame, calibration: Mapping[str, Any]) -> DataFrame:
    """Add ``p_like`` to rows with ``logit``."""
    return rows.withColumn("p_like", calibrated(F.col("logit"), calibration))


def is_called_liked(p_like: Column, *, threshold: float) -> Column:
    """Whether the probability reaches the bundle's threshold."""
    return p_like >= F.lit(threshold)


def with_baselines(rows: DataFrame, baselines: Mapping[str, Mapping[str, Any]]) -> DataFrame:
    """Add each baseline's probability under its name; ``rows`` have the history's columns."""
    return rows.withColumns({name: _plain_probability(spec) for name, spec in baselines.items()})


def _plain_probability(spec: Mapping[str, Any]) -> Column:
    terms = (F.col(name) * F.lit(value) for name, value in spec["coefficients"].items())
    return sigmoid(sum(terms, start=F.lit(spec["intercept"])))
