from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.evaluation.histogram import score_histogram


def test_a_hundredth_counts_its_rows_and_the_fewer_of_the_people_on_either_side(spark: SparkSession) -> None:
    rows = [("model", 1, 0.5, 1.0), ("model", 1, 0.509, 1.0), ("model", 2, 0.5, 1.0)]
    rows += [("model", 3, 0.505, 0.0), ("model", 4, 1.0, 1.0)]
    half, last = histogram(spark, rows, decision_threshold=0.6)
    assert half[:7] == ("model", 0.5, 0.51, False, 1, 3, 1)
    assert half[7] == pytest.approx(2.014)
    assert last == ("model", 0.99, 1.0, True, 0, 1, 0, 1.0)


def test_the_hundredth_of_the_threshold_is_cut_there(spark: SparkSession) -> None:
    rows = [("model", 1, 0.501, 1.0), ("model", 1, 0.504, 1.0), ("model", 2, 0.503, 0.0)]
    below, above = histogram(spark, rows, decision_threshold=0.503)
    assert below[:7] == ("model", 0.5, 0.503, False, 0, 1, 0)
    assert above[:7] == ("model", 0.503, 0.51, True, 1, 1, 1)


def histogram(
    spark: SparkSession, rows: list[tuple[object, ...]], *, decision_threshold: float
) -> list[tuple[object, ...]]:
    frame = spark.createDataFrame(rows, "model string, user_id long, probability double, label double")
    with_threshold = frame.withColumn("decision_threshold", F.lit(decision_threshold))
    return [tuple(row) for row in score_histogram(with_threshold, "model").sort("first").collect()]
