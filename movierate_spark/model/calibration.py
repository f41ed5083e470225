"""Probabilities that keep their word: from log odds to what happened on rows the model has not seen."""

from __future__ import annotations

from typing import Any

from pyspark.ml.regression import IsotonicRegression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL
from movierate_spark.model.newton import fit_plain


def fit_calibration(rows: DataFrame, *, method: str) -> dict[str, Any]:
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
            return {"method": "platt", "slope": slope, "intercept": intercept}
    return {"method": "none"}


def _isotonic(rows: DataFrame) -> dict[str, Any]:
    binned = rows.groupBy(F.round("logit", 1).alias("bin")).agg(
        F.avg("logit").alias("features"),
        # Half a like and half a dislike more: no probability is ever 0 or 1.
        ((F.sum(LABEL) + 0.5) / (F.count(LABEL) + 1)).alias(LABEL),
        F.count(LABEL).cast("double").alias("rows"),
    )
    model = IsotonicRegression(weightCol="rows", labelCol=LABEL).fit(binned.coalesce(1).sort("features"))
    logits, probabilities = model.boundaries.toArray(), model.predictions.toArray()
    return {"method": "isotonic", "logits": logits.tolist(), "probabilities": probabilities.tolist()}
