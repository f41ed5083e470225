from __future__ import annotations

import math

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark import train
from movierate_spark.config import Settings


def blocks(spark: SparkSession, *, rows: int = 400) -> DataFrame:
    random = np.random.default_rng(11)
    x = random.normal(size=(rows, 2))
    y = random.uniform(size=rows) < 1 / (1 + np.exp(-(0.5 + 2 * x[:, 0])))
    data = [
        (float(a), float(b), float(c), i * 4 // rows) for i, ((a, b), c) in enumerate(zip(x, y, strict=True))
    ]
    frame = spark.createDataFrame(data, "a double, b double, label double, block int")
    return frame.select(array_to_vector(F.array("a", "b")).alias("features"), "a", "b", "label", "block")


def test_a_fold_never_trains_on_its_future(spark: SparkSession) -> None:
    validator = train.RollingOriginCrossValidator(numFolds=3)
    folds = validator._kFold(blocks(spark))
    for i, (past, future) in enumerate(folds, start=1):
        assert {row["block"] for row in past.select("block").distinct().collect()} == set(range(i))
        assert {row["block"] for row in future.select("block").distinct().collect()} == {i}


def test_the_best_penalty_is_that_of_the_least_log_loss(spark: SparkSession, settings: Settings) -> None:
    fits = []
    grid = settings.train.model_copy(update={"reg_param": (0.001, 10.0), "elastic_net_param": (0.0, 0.5)})
    model = train.cross_validate(blocks(spark), grid, done=lambda: fits.append(1))
    path = train.validation_path(model)
    assert len(fits) == 3 * 4
    assert len(path) == 4
    best = min(path, key=lambda point: point["log_loss"])
    assert train.best_params(model) == {name: best[name] for name in ("regParam", "elasticNetParam")}
    assert best["regParam"] == 0.001


def test_calibration_mends_a_logit_that_is_too_sure(spark: SparkSession) -> None:
    random = np.random.default_rng(13)
    logit = random.normal(size=4000)
    y = random.uniform(size=4000) < 1 / (1 + np.exp(-(0.5 * logit + 0.3)))
    rows = spark.createDataFrame(
        [(float(a), float(b)) for a, b in zip(logit, y, strict=True)], "logit double, label double"
    )
    found = train.fit_calibration(rows, method="platt")
    assert found["slope"] == pytest.approx(0.5, abs=0.1)
    assert found["intercept"] == pytest.approx(0.3, abs=0.1)
    assert train.fit_calibration(rows, method="none") == {"method": "none", "slope": 1.0, "intercept": 0.0}


def test_calibration_never_turns_the_order_round(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [(1.0, 0.0), (2.0, 0.0), (0.5, 1.0), (-1.0, 1.0), (1.5, 1.0)], "logit double, label double"
    )
    assert train.fit_calibration(rows, method="platt")["method"] == "none"


def test_always_like_knows_the_like_rate_only(spark: SparkSession) -> None:
    rows = [
        (1.0, 3.0, 4.5),
        (1.0, 4.0, 4.0),
        (1.0, 3.0, 2.5),
        (0.0, 2.0, 2.0),
        (0.0, 3.5, 3.0),
        (1.0, 2.5, 3.5),
    ]
    found = train.fit_baselines(
        spark.createDataFrame(rows, "label double, user_mean double, movie_mean double")
    )
    assert found["always_like"]["intercept"] == pytest.approx(math.log(4 / 2))
    assert set(found["user_movie_mean"]["coefficients"]) == {"user_mean", "movie_mean"}


def test_rows_are_laid_out_alike_whatever_came_before(spark: SparkSession) -> None:
    rows = spark.range(200).select(
        (F.col("id") % 17).alias("user_id"),
        F.col("id").alias("movie_id"),
        F.timestamp_seconds("id").alias("at"),
    )

    def layout(frame: DataFrame) -> list[list[tuple[object, ...]]]:
        laid = train.laid_out(frame, partitions=3)
        return [[tuple(row) for row in part] for part in laid.rdd.glom().collect()]

    assert layout(rows.repartition(7)) == layout(rows.coalesce(1))
