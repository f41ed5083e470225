from __future__ import annotations

import math

import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.model.logistic_regression import laid_out, logistic_regression, start_of


def test_partitions_and_order_do_not_depend_on_the_input_partitioning(spark: SparkSession) -> None:
    rows = spark.range(200).select(
        (F.col("id") % 17).alias("user_id"),
        F.col("id").alias("movie_id"),
        F.timestamp_seconds("id").alias("at"),
    )

    def layout(frame: DataFrame) -> list[list[tuple[object, ...]]]:
        laid = laid_out(frame, partitions=3, expected=200)
        return [[tuple(row) for row in part] for part in laid.rdd.glom().collect()]

    assert layout(rows.repartition(7)) == layout(rows.coalesce(1))


def test_a_fit_on_one_class_is_no_start_for_another_fit(spark: SparkSession, settings: Settings) -> None:
    points = [(Vectors.dense([float(x)]), float(x % 3 > 0)) for x in range(30)]
    rows = spark.createDataFrame(points, ["features", "label"])
    estimator = logistic_regression(settings.train, regParam=0.01)
    of_one_class = start_of(estimator.fit(rows.where("label = 1")))
    assert of_one_class.intercept == math.inf
    model, plain = estimator.fit_from(of_one_class, rows), estimator.fit_from(None, rows)
    assert (model.intercept, model.coefficients) == (plain.intercept, plain.coefficients)


@pytest.mark.parametrize(("expected", "tasks"), [(0, 2), (2_000_000, 2), (2_000_001, 3), (20_000_000, 20)])
def test_a_task_has_no_more_than_a_million_rows(spark: SparkSession, expected: int, tasks: int) -> None:
    rows = spark.range(1).select(
        F.col("id").alias("user_id"), F.col("id").alias("movie_id"), F.timestamp_seconds("id").alias("at")
    )
    laid = laid_out(rows, partitions="auto", expected=expected)
    assert laid.rdd.getNumPartitions() == tasks
