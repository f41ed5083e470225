"""Intervals of metrics in many groups at once: standard errors by user, without resampling.

Each metric is linearised: the influence of each rating is summed by user, as ratings of one user are not
independent. The variance is the sum of the squares of these sums. For ratios of sums the formula is Cochran's
(1977, Sampling Techniques, section 6.3). For the AUC it is DeLong's for clustered data (Obuchowski 1997);
there, probabilities in the same thousandth are tied. Where a few users rate most, the degrees of freedom are
fewer than users - 1: they are counted in effective users, the square of the sum of the users' weights over
the sum of their squares (Kish 1965, Survey Sampling, section 8.2).
"""

from __future__ import annotations

import math
from typing import Any

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from movierate_spark.evaluation.metrics import PIECES, clipped
from movierate_spark.intervals import t_errors

RATIOS = {
    "accuracy": ("correct", "n"),
    "log_loss": ("loss", "n"),
    "brier": ("squared", "n"),
    "precision": ("tp", "called"),
    "recall": ("tp", "positive"),
    "f1": ("tp_twice", "called_and_positive"),
}


LEAST_EFFECTIVE = 1 + 1e-9
"""Of fewer effective users, one has all the weight, but for rounding errors."""


def people_and_intervals(rows: DataFrame, *keys: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """``people`` (users) and 95% ``intervals`` of :data:`RATIOS` and ``auc``, by the values of the keys.

    ``rows`` have the keys (not null), ``user_id``, ``label``, ``probability`` and ``decision_threshold``. An
    interval is [low, high]. It is None if the metric is not defined or does not vary, or for a single user.
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
    """Add ``placement``, a row's part of the AUC, and ``weight``, one over the size of its class.

    For a liked row, ``placement`` is the share of disliked rows below it, for a disliked row the share of
    liked rows above it, with ties counted half, times ``weight``. The sums over all rows are twice the AUC,
    and 2.
    """
    with_piece = rows.withColumn("piece", F.floor(F.col("probability") * PIECES))
    is_liked = F.col("label").cast("boolean")
    group = Window.partitionBy(*keys)
    below = group.orderBy("piece").rowsBetween(Window.unboundedPreceding, -1)
    above = group.orderBy(F.desc("piece")).rowsBetween(Window.unboundedPreceding, -1)
    totals = with_piece.groupBy(*keys, "piece").agg(
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
    joined = with_piece.join(F.broadcast(placements), [*keys, "piece"])
    return joined.withColumns(
        {
            name: F.when(is_liked, F.col(f"liked_{name}")).otherwise(F.col(f"disliked_{name}"))
            for name in ("placement", "weight")
        }
    )


def _terms() -> dict[str, Column]:
    p, liked = F.col("probability"), F.col("label").cast("double")
    predicted = (p >= F.col("decision_threshold")).cast("double")
    safe = clipped(p)
    return {
        "n": F.lit(1.0),
        "correct": (predicted == liked).cast("double"),
        "loss": -F.log(F.when(liked > 0, safe).otherwise(1 - safe)),
        "squared": F.pow(liked - p, F.lit(2)),
        "tp": predicted * liked,
        "tp_twice": 2 * predicted * liked,
        "called": predicted,
        "positive": liked,
        "called_and_positive": predicted + liked,
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
                # The AUC is a mean over pairs, so a user's ratings change it from both sides of a pair.
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
    effective = b * b / bb
    if effective <= LEAST_EFFECTIVE:
        return None
    variance = (aa - 2 * ratio * ab + ratio * ratio * bb) * effective / (effective - 1)
    # Rounding errors give a small variance if nothing varies.
    if variance <= 1e-12 * aa:
        return None
    error = degree * math.sqrt(variance) / b
    half = float(t_errors(effective)) * error
    return [max(ratio - half, 0.0), min(ratio + half, most)]
