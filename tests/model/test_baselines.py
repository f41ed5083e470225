from __future__ import annotations

import math

import pytest
from pyspark.sql import SparkSession

from movierate_spark.model.baselines import fit_baselines


def test_always_like_predicts_the_like_rate(spark: SparkSession) -> None:
    rows = [
        (1.0, 3.0, 4.5),
        (1.0, 4.0, 4.0),
        (1.0, 3.0, 2.5),
        (0.0, 2.0, 2.0),
        (0.0, 3.5, 3.0),
        (1.0, 2.5, 3.5),
    ]
    models = fit_baselines(spark.createDataFrame(rows, "label double, user_mean double, movie_mean double"))
    assert models["always_like"].intercept == pytest.approx(math.log(4 / 2))
    assert set(models["user_movie_mean"].coefficients) == {"user_mean", "movie_mean"}
