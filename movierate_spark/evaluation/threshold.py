"""The decision threshold: the probability from which on a rating is predicted liked."""

from __future__ import annotations

from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.evaluation.metrics import score_curve


def best_threshold(rows: DataFrame, *, maximise: Literal["accuracy", "f1"]) -> float:
    """The threshold that maximises a metric on ``rows``, which have ``probability`` and ``label``.

    It is one of their probabilities; of equally good ones the closest to 0.5, then the smaller. It is 1.0
    (above any probability of a logistic model) if accuracy is best with no row predicted liked.
    """
    curve = score_curve(rows.withColumn("all", F.lit(0)), "all")
    tp = F.col("liked_above") + F.col("liked")
    fp = F.col("disliked_above") + F.col("disliked")
    accuracy = (tp + F.col("all_disliked") - fp) / (F.col("all_liked") + F.col("all_disliked"))
    f1 = 2 * tp / (tp + fp + F.col("all_liked"))
    value = accuracy if maximise == "accuracy" else f1
    nothing = F.col("all_disliked") / (F.col("all_liked") + F.col("all_disliked"))
    best = (
        curve.select("probability", value.alias("value"), nothing.alias("nothing"))
        .sort(F.desc("value"), F.abs(F.col("probability") - 0.5), "probability")
        .head()
    )
    if best is None or (maximise == "accuracy" and best["nothing"] > best["value"]):
        return 1.0
    return float(best["probability"])
