from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from movierate_spark.evaluation.histogram import score_histogram


def test_a_hundredth_counts_its_rows_and_the_fewer_of_the_people_on_either_side(spark: SparkSession) -> None:
    rows = [("model", 1, 0.5, 1.0), ("model", 1, 0.509, 1.0), ("model", 2, 0.5, 1.0)]
    rows += [("model", 3, 0.505, 0.0), ("model", 4, 1.0, 1.0)]
    frame = spark.createDataFrame(rows, "model string, user_id long, probability double, label double")
    half, last = score_histogram(frame, "model").sort("first").collect()
    assert tuple(half)[:6] == ("model", 0.5, 0.51, 1, 3, 1)
    assert half["expected"] == pytest.approx(2.014)
    assert tuple(last) == ("model", 0.99, 1.0, 0, 1, 0, 1.0)
