from __future__ import annotations

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from movierate_spark.evaluation.threshold import best_threshold


def frame(spark: SparkSession, p: np.ndarray, y: np.ndarray) -> DataFrame:
    rows = [(float(a), bool(b)) for a, b in zip(p, y, strict=True)]
    return spark.createDataFrame(rows, "probability double, label boolean")


def test_the_threshold_is_the_best_of_all_cuts(spark: SparkSession) -> None:
    random = np.random.default_rng(3)
    p = random.uniform(size=300)
    y = random.uniform(size=300) < p**2
    rows = frame(spark, p, y)
    accuracies = {cut: ((p >= cut) == y).mean() for cut in p}
    threshold = best_threshold(rows, maximise="accuracy")
    assert accuracies[threshold] == max(accuracies.values())
    f1 = {cut: 2 * (y & (p >= cut)).sum() / ((p >= cut).sum() + y.sum()) for cut in p}
    assert f1[best_threshold(rows, maximise="f1")] == max(f1.values())


def test_a_threshold_may_call_nothing_liked(spark: SparkSession) -> None:
    rows = frame(spark, np.array([0.4, 0.3, 0.2]), np.array([False, False, True]))
    assert best_threshold(rows, maximise="accuracy") == 1.0
