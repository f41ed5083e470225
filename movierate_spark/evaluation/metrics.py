"""Metrics of probabilities: exact, and computed in Spark for any number of groups at once.

All metrics are functions of the *score curve*: for each distinct probability in a group, the numbers of liked
and disliked rows with this probability, and with a higher one. Liked is the positive class.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

METRICS = ("auc", "auc_pr", "log_loss", "brier", "ece", "accuracy", "precision", "recall", "f1")
ECE_BINS = 20
PIECES = 1000
SMALLEST_PROBABILITY = 1e-15
SIDES = ("liked", "disliked")


def score_curve(rows: DataFrame, *keys: str) -> DataFrame:
    """One row per (keys, probability) with numbers of rows: liked and disliked at it, above it and in total.

    The columns are ``liked``, ``disliked``, ``liked_above``, ``disliked_above``, ``all_liked`` and
    ``all_disliked``. ``rows`` have the keys (not null), ``probability`` and ``label`` (1 or true: liked).
    Rows are ranked by a window within a thousandth of the probability, to which small totals of the higher
    thousandths are added. So no task sorts a complete group, and one shuffle serves counts and window.
    """
    liked = F.col("label").cast("boolean")
    pieces = rows.select(
        *keys, "probability", liked.alias("is_liked"), F.floor(F.col("probability") * PIECES).alias("piece")
    )
    counts = F.count_if("is_liked").alias("liked"), F.count_if(~F.col("is_liked")).alias("disliked")
    scores = pieces.repartition(*keys, "piece").groupBy(*keys, "piece", "probability").agg(*counts)
    within = Window.partitionBy(*keys, "piece").orderBy(F.desc("probability"))
    within = within.rowsBetween(Window.unboundedPreceding, -1)
    offsets = _offsets(pieces.groupBy(*keys, "piece").agg(*counts), *keys)
    return scores.join(F.broadcast(offsets), [*keys, "piece"]).select(
        *keys,
        "probability",
        "liked",
        "disliked",
        *((F.col(f"higher_{side}") + _total(side, within)).alias(f"{side}_above") for side in SIDES),
        *(f"all_{side}" for side in SIDES),
    )


def _offsets(totals: DataFrame, *keys: str) -> DataFrame:
    """For each piece: the numbers of rows in higher pieces of its group, and in the group."""
    group = Window.partitionBy(*keys)
    higher = group.orderBy(F.desc("piece")).rowsBetween(Window.unboundedPreceding, -1)
    return totals.select(
        *keys,
        "piece",
        *(_total(side, higher).alias(f"higher_{side}") for side in SIDES),
        *(_total(side, group).alias(f"all_{side}") for side in SIDES),
    )


def _total(column: str, window: Any) -> Column:
    return F.coalesce(F.sum(column).over(window), F.lit(0))


def metrics_by(rows: DataFrame, *keys: str) -> list[dict[str, Any]]:
    """Metrics of each group: one dict per key combination, sorted by the keys.

    Each dict has the keys, :data:`METRICS`, the counts ``rows``, ``positives`` and ``confusion``, and
    ``decision_threshold``. The argument ``rows`` has the keys (not null), ``probability``, ``label`` and
    ``decision_threshold``, which is constant in a group. A metric that is not defined is None: the AUC of a
    single class, or precision if no row is predicted liked.

    AUC is the probability that a liked row is ranked above a disliked one; a tie counts half (Hanley and
    McNeil 1982). AUC-PR is average precision, the sum of precision times the step in recall. ECE is the mean
    absolute difference of like rate and probability over 20 bins of equal count, weighted by rows (Naeini et
    al. 2015).
    """
    curve = score_curve(rows, *keys, "decision_threshold")
    bins = curve.groupBy(*keys, "decision_threshold", _bin().alias("bin")).agg(*_sums())
    totals = [F.sum(name).alias(name) for name in _SUMS]
    miscalibrated = F.sum(F.abs(F.col("positives") - F.col("expected"))).alias("miscalibrated")
    groups = bins.groupBy(*keys, "decision_threshold").agg(*totals, miscalibrated).sort(*keys).collect()
    return [{**{key: row[key] for key in keys}, **_metrics(row)} for row in groups]


def _bin() -> Column:
    """The bin of a probability, of 20 with equal counts; tied rows share the bin of their middle."""
    tied = F.col("liked") + F.col("disliked")
    middle = F.col("liked_above") + F.col("disliked_above") + tied / 2
    return F.floor(middle * ECE_BINS / (F.col("all_liked") + F.col("all_disliked")))


_SUMS = (
    "positives",
    "negatives",
    "expected",
    "ordered_pairs",
    "precision_steps",
    "log_loss",
    "squared_error",
    "tp",
    "fp",
)


def clipped(probability: Column) -> Column:
    """The probability, but not so near to 0 or 1 that its log loss would be infinite."""
    return F.least(F.greatest(probability, F.lit(SMALLEST_PROBABILITY)), F.lit(1 - SMALLEST_PROBABILITY))


def _sums() -> list[Column]:
    p = clipped(F.col("probability"))
    liked, disliked = F.col("liked"), F.col("disliked")
    above, liked_above = F.col("liked_above") + F.col("disliked_above"), F.col("liked_above")
    predicted = F.col("probability") >= F.col("decision_threshold")
    sums = {
        "positives": liked,
        "negatives": disliked,
        "expected": (liked + disliked) * F.col("probability"),
        "ordered_pairs": disliked * (liked_above + liked / 2),
        "precision_steps": liked * (liked_above + liked) / (above + liked + disliked),
        "log_loss": -liked * F.log(p) - disliked * F.log(1 - p),
        "squared_error": liked * F.pow(1 - p, F.lit(2)) + disliked * F.pow(p, F.lit(2)),
        "tp": F.when(predicted, liked).otherwise(0),
        "fp": F.when(predicted, disliked).otherwise(0),
    }
    return [F.sum(sums[name]).alias(name) for name in _SUMS]


def _metrics(sums: Row) -> dict[str, Any]:
    positives, negatives, tp, fp = sums["positives"], sums["negatives"], sums["tp"], sums["fp"]
    rows = positives + negatives
    return {
        "rows": rows,
        "positives": positives,
        "auc": _ratio(sums["ordered_pairs"], positives * negatives),
        "auc_pr": _ratio(sums["precision_steps"], positives),
        "log_loss": sums["log_loss"] / rows,
        "brier": sums["squared_error"] / rows,
        "ece": sums["miscalibrated"] / rows,
        "accuracy": (tp + negatives - fp) / rows,
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, positives),
        "f1": _ratio(2 * tp, tp + fp + positives),
        "decision_threshold": sums["decision_threshold"],
        "confusion": {"tp": tp, "fp": fp, "tn": negatives - fp, "fn": positives - tp},
    }


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def difference(one: float | None, other: float | None) -> float | None:
    """One metric minus another; None if either is not defined."""
    return None if one is None or other is None else one - other
