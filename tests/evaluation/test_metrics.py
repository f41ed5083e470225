from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.evaluation.metrics import metrics_by


def frame(spark: SparkSession, p: np.ndarray, y: np.ndarray, threshold: float = 0.5) -> DataFrame:
    rows = [("all", float(a), bool(b), threshold) for a, b in zip(p, y, strict=True)]
    return spark.createDataFrame(
        rows, "scope string, probability double, label boolean, decision_threshold double"
    )


def reference(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The metrics by their definitions; AUC is counted over all pairs."""
    liked, disliked = p[y], p[~y]
    pairs = (liked[:, None] > disliked).sum() + 0.5 * (liked[:, None] == disliked).sum()
    steps = [(y[p >= cut].sum(), y[p >= cut].mean()) for cut in np.unique(p)[::-1]]
    recalls = np.diff([0, *(hits for hits, _ in steps)]) / y.sum()
    return {
        "auc": pairs / (len(liked) * len(disliked)),
        "auc_pr": float(sum(recalls * np.array([precision for _, precision in steps]))),
        "log_loss": float(-np.log(np.where(y, p, 1 - p)).mean()),
        "brier": float(((p - y) ** 2).mean()),
        "accuracy": float(((p >= 0.5) == y).mean()),
    }


@pytest.mark.parametrize("decimals", [1, 3, 12])
def test_metrics_agree_with_their_definitions_ties_included(spark: SparkSession, decimals: int) -> None:
    random = np.random.default_rng(decimals)
    p = random.uniform(0.05, 0.95, 400).round(decimals)
    y = random.uniform(size=400) < p
    (actual,) = metrics_by(frame(spark, p, y), "scope")
    for name, value in reference(p, y).items():
        assert actual[name] == pytest.approx(value, abs=1e-12), name


def test_f1_is_that_of_the_liked_class(spark: SparkSession) -> None:
    p, y = np.array([0.9, 0.8, 0.7, 0.2, 0.1]), np.array([True, False, True, True, False])
    (actual,) = metrics_by(frame(spark, p, y), "scope")
    assert actual["confusion"] == {"tp": 2, "fp": 1, "tn": 1, "fn": 1}
    assert (actual["precision"], actual["recall"], actual["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_calibration_error_is_over_twenty_bins_of_equal_count(spark: SparkSession) -> None:
    p = np.arange(1, 201) / 201
    y = np.arange(200) % 2 == 0
    bins = np.array_split(np.arange(200), 20)
    expected = sum(len(b) * abs(y[b].mean() - p[b].mean()) for b in bins) / 200
    (actual,) = metrics_by(frame(spark, p, y), "scope")
    assert actual["ece"] == pytest.approx(expected, abs=1e-12)


def test_what_is_not_defined_is_none(spark: SparkSession) -> None:
    (actual,) = metrics_by(frame(spark, np.array([0.1, 0.2]), np.array([True, True])), "scope")
    assert (actual["auc"], actual["precision"], actual["f1"]) == (None, None, 0.0)


def test_metrics_are_the_same_at_any_partitioning(spark: SparkSession) -> None:
    random = np.random.default_rng(5)
    p = random.uniform(size=500).round(2)
    rows = frame(spark, p, random.uniform(size=500) < p)
    expected = metrics_by(rows.repartition(1), "scope")[0]
    for partitions in (4, 8):
        actual = metrics_by(rows.repartition(partitions, F.col("probability")), "scope")[0]
        for name in ("auc", "auc_pr", "log_loss", "brier", "ece", "f1"):
            assert actual[name] == pytest.approx(expected[name], abs=1e-12)
