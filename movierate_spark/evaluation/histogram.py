"""The histogram of probabilities, for the plots of ROC and calibration."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def score_histogram(rows: DataFrame, *keys: str) -> DataFrame:
    """One row per (keys, hundredth of probability): ``liked``, ``disliked``, and ``expected`` likes.

    ``first`` and ``last`` are the ends of the hundredth. ``people`` is the smaller of two numbers of users:
    those who liked a movie, and those who did not. Hundredths without rows are left out.
    ``rows`` have the keys, user_id, label and probability.
    """
    liked, p = F.col("label").cast("boolean"), F.col("probability")
    hundredth = F.least(F.floor(p * 100), F.lit(99))
    return (
        rows.groupBy(*keys, hundredth.alias("hundredth"))
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
            (F.col("hundredth") / 100).alias("first"),
            ((F.col("hundredth") + 1) / 100).alias("last"),
            "people",
            "liked",
            "disliked",
            "expected",
        )
    )
