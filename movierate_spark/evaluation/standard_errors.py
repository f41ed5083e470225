"""How sure metrics are in many groups at once: standard errors by user without resampling.

Each metric is linearised: what it changes by when a rating counts a little more, summed by user, as the
ratings of one user are not independent; the squares of these sums are the variance. For ratios of sums this
is Cochran's (1977, Sampling Techniques, section 6.3), for the AUC it is DeLong's for clustered data
(Obuchowski 1997). Ranks are told apart to a thousandth of the probability.
"""

from __future__ import annotations

import math
from typing import Any

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from movierate_spark.evaluation.metrics import PIECES, SMALLEST_PROBABILITY
from movierate_spark.intervals import t_errors

RATIOS = {
    "accuracy": ("correct", "n"),
    "log_loss": ("loss", "n"),
    "brier": ("squared", "n"),
    "precision": ("tp", "called"),
    "recall": ("tp", "positive"),
    "f1": ("tp_twice", "called_and_positive"),
}


def people_and_intervals(rows: DataFrame, *keys: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """``people`` and 95% ``intervals`` of metrics, by the values of the keys.

    ``rows`` have the keys (never null), ``user_id``, ``label``, ``probability`` and ``decision_threshold``.
    An interval is [low, high], or None where the metric is not defined, does not vary or has one user only.
    """
    sums = {name for pair in RATIOS.values() for name in pair}
    by_user = (
        _placed(rows, *keys)
        .groupBy(*keys, "user_id")
        .agg(
            *(F.sum(_terms()[name]).alias(name) for name in sorted(sums)),
            F.sum("placement").alias("placement"),
            F.sum("weight").alias("weight"),
        )
    )
    pairs = {**RATIOS, "auc": ("placement", "weight")}
    squares = [column for name, pair in pairs.items() for column in _squares(name, *pair)]
    groups = by_user.groupBy(*keys).agg(F.count("*").alias("people"), *squares).collect()
    return {tuple(row[key] for key in keys): _group(row, list(pairs)) for row in groups}


def _placed(rows: DataFrame, *keys: str) -> DataFrame:
    """Add ``placement``, a row's share in the AUC's numerator, and ``weight``, its class's part in it.

    A liked row has the share of disliked ones below it, a disliked row that of liked ones above, ties half;
    each divided by the size of its own class. Summed over all rows: twice the AUC, and 2.
    """
    pieced = rows.withColumn("piece", F.floor(F.col("probability") * PIECES))
    is_liked = F.col("label").cast("boolean")
    group = Window.partitionBy(*keys)
    below = group.orderBy("piece").rowsBetween(Window.unboundedPreceding, -1)
    above = group.orderBy(F.desc("piece")).rowsBetween(Window.unboundedPreceding, -1)
    totals = pieced.groupBy(*keys, "piece").agg(
        F.count_if(is_liked).alias("liked"), F.count_if(~is_liked).alias("disliked")
    )
    disliked_below = F.coalesce(F.sum("disliked").over(below), F.lit(0)) + F.col("disliked") / 2
    liked_above = F.coalesce(F.sum("liked").over(above), F.lit(0)) + F.col("liked") / 2
    all_liked, all_disliked = (F.nullif(F.sum(side).over(group), F.lit(0)) for side in ("liked", "disliked"))
    placements = totals.select(
        *keys,
        "piece",
        (disliked_below / all_disliked / all_liked).alias("liked_placement"),
        (liked_above / all_liked / all_disliked).alias("disliked_placement"),
        (F.lit(1) / all_liked).alias("liked_weight"),
        (F.lit(1) / all_disliked).alias("disliked_weight"),
    )
    joined = pieced.join(F.broadcast(placements), [*keys, "piece"])
    return joined.withColumns(
        {
            name: F.when(is_liked, F.col(f"liked_{name}")).otherwise(F.col(f"disliked_{name}"))
            for name in ("placement", "weight")
        }
    )


def _terms() -> dict[str, Column]:
    p, liked = F.col("probability"), F.col("label").cast("double")
    called = (p >= F.col("decision_threshold")).cast("double")
    safe = F.least(F.greatest(p, F.lit(SMALLEST_PROBABILITY)), F.lit(1 - SMALLEST_PROBABILITY))
    return {
        "n": F.lit(1.0),
        "correct": (called == liked).cast("double"),
        "loss": -F.log(F.when(liked > 0, safe).otherwise(1 - safe)),
        "squared": F.pow(liked - p, F.lit(2)),
        "tp": called * liked,
        "tp_twice": 2 * called * liked,
        "called": called,
        "positive": liked,
        "called_and_positive": called + liked,
    }


def _squares(metric: str, numerator: str, denominator: str) -> list[Column]:
    a, b = F.col(numerator), F.col(denominator)
    sums = {"a": a, "b": b, "aa": a * a, "ab": a * b, "bb": b * b}
    return [F.sum(value).alias(f"{metric}_{name}") for name, value in sums.items()]


def _group(row: Row, metrics: list[str]) -> dict[str, Any]:
    return {
        "people": row["people"],
        "intervals": {
            metric: _interval(
                row["people"],
                *(row[f"{metric}_{part}"] for part in ("a", "b", "aa", "ab", "bb")),
                most=math.inf if metric == "log_loss" else 1.0,
                # A mean over pairs changes by both of their ratings.
                degree=2 if metric == "auc" else 1,
            )
            for metric in metrics
        },
    }


def _interval(
    people: int,
    a: float | None,
    b: float | None,
    aa: float,
    ab: float,
    bb: float,
    *,
    most: float,
    degree: int,
) -> list[float] | None:
    if people < 2 or not b or a is None:
        return None
    ratio = a / b
    variance = (aa - 2 * ratio * ab + ratio * ratio * bb) * people / (people - 1)
    # Sums of doubles leave a trace where nothing varies.
    if variance <= 1e-12 * aa:
        return None
    error = degree * math.sqrt(variance) / b
    half = float(t_errors(people)) * error
    return [max(ratio - half, 0.0), min(ratio + half, most)]
