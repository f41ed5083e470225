"""The histogram of probabilities, for the plots of ROC and calibration."""

from __future__ import annotations

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.evaluation.segments import MODEL, stacked
from movierate_spark.model.baselines import with_baselines
from movierate_spark.model.bundle import Bundle


def score_histogram(rows: DataFrame, *keys: str) -> DataFrame:
    """One row per (keys, hundredth of probability): ``liked``, ``disliked``, and ``expected`` likes.

    ``first`` and ``last`` are the ends of the hundredth. The hundredth of the ``decision_threshold`` is cut
    there: rows from it on are ``predicted_liked``. ``people`` is the smaller of two numbers of users: those
    who liked a movie, and those who did not. Hundredths without rows are left out.
    ``rows`` have the keys, user_id, label, probability and ``decision_threshold``, which is constant for a
    combination of keys.
    """
    liked, p, threshold = F.col("label").cast("boolean"), F.col("probability"), F.col("decision_threshold")
    hundredth = F.least(F.floor(p * 100), F.lit(99))
    first, last = F.col("hundredth") / 100, (F.col("hundredth") + 1) / 100
    return (
        rows.groupBy(
            *keys, "decision_threshold", hundredth.alias("hundredth"), (p >= threshold).alias("above")
        )
        .agg(
            F.least(*(F.count_distinct(F.when(side, F.col("user_id"))) for side in (liked, ~liked))).alias(
                "people"
            ),
            F.count_if(liked).alias("liked"),
            F.count_if(~liked).alias("disliked"),
            F.sum(p).alias("expected"),
        )
        .select(
            *keys,
            F.when(F.col("above"), F.greatest(first, threshold)).otherwise(first).alias("first"),
            F.when(F.col("above"), last).otherwise(F.least(last, threshold)).alias("last"),
            F.col("above").alias("predicted_liked"),
            "people",
            "liked",
            "disliked",
            "expected",
        )
    )


def histogram_by_model(predicted: DataFrame, bundle: Bundle) -> pd.DataFrame:
    """The histogram of the probabilities of the model and of each baseline."""
    manifest = bundle.manifest
    rows = with_baselines(predicted, manifest.baselines)
    models = {MODEL: ("p_like", manifest.decision_threshold)} | {
        name: (name, baseline.decision_threshold) for name, baseline in manifest.baselines.items()
    }
    return score_histogram(stacked(rows, models), "model").toPandas().sort_values(["model", "first"])
