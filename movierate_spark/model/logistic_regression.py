"""Spark's LogisticRegression with warm starts, and the partitioning of the rows that it reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.sql import DataFrame, SparkSession

from movierate_spark.columns import LABEL
from movierate_spark.config import TrainSettings
from movierate_spark.features.names import FEATURES
from movierate_spark.session import expected_cores
from movierate_spark.spark_internals import set_initial_model

ROWS_PER_TASK = 1_000_000


class LogisticPath(LogisticRegression):
    """Spark's LogisticRegression, fitted from the strongest penalty to the weakest with warm starts.

    Each fit starts from the previous one (Friedman, Hastie and Tibshirani 2010, section 2.5). The initial
    model can be set in the JVM's class only, not under Spark Connect. Without it every fit starts from zero,
    with the same result within ``tol``.
    """

    def fitMultiple(  # noqa: N802
        self, dataset: DataFrame, paramMaps: Sequence[Any]
    ) -> Iterator[tuple[int, LogisticRegressionModel]]:
        """Yield (index, model) for each set of params, strongest penalty first. Not thread-safe."""
        chains: dict[float, LogisticRegressionModel] = {}
        for index in sorted(range(len(paramMaps)), key=lambda i: -paramMaps[i][self.regParam]):
            mixing = paramMaps[index].get(self.elasticNetParam, self.getElasticNetParam())
            start = start_of(chains[mixing]) if mixing in chains else None
            chains[mixing] = self.fit_from(start, dataset, paramMaps[index])
            yield index, chains[mixing]

    def fit_from(
        self, start: Start | None, dataset: DataFrame, params: Any = None
    ) -> LogisticRegressionModel:
        """Fit from the coefficients ``start``, one per feature; from zero if it is None.

        Also from zero if its intercept is infinite, as after a fit on rows of a single class.
        """
        estimator = self.copy(params)
        if start is not None and math.isfinite(start.intercept):
            set_initial_model(estimator, start.coefficients.tolist(), start.intercept)
        return cast("LogisticRegressionModel", estimator.fit(dataset))


@dataclass(frozen=True)
class Start:
    """The start of a fit: coefficients and intercept on the original scale of the features."""

    coefficients: NDArray[np.float64]
    intercept: float

    def for_slots(self, before: Sequence[str], now: Sequence[str]) -> Start:
        """The start for features ``now`` instead of ``before``, matched by name; new ones start at 0."""
        known = dict(zip(before, self.coefficients, strict=True))
        return Start(np.array([known.get(name, 0.0) for name in now]), self.intercept)


def start_of(model: LogisticRegressionModel) -> Start:
    """The start of another fit: the coefficients of a fitted model."""
    return Start(model.coefficients.toArray(), model.intercept)


def logistic_regression(settings: TrainSettings, **params: Any) -> LogisticPath:
    """The unfitted estimator. It standardises features internally, but not the coefficients."""
    return LogisticPath(
        featuresCol=FEATURES, labelCol=LABEL, maxIter=settings.max_iter, tol=settings.tol, **params
    )


def laid_out(rows: DataFrame, *, partitions: int | Literal["auto"], expected: int) -> DataFrame:
    """Repartition and sort the rows by their keys, so that equal rows give equal sums.

    There are as many partitions as a pass over the ``expected`` rows has tasks, if it runs alone.
    """
    tasks = tasks_per_pass(rows.sparkSession, partitions, expected=expected)
    return rows.repartition(tasks, "user_id", "movie_id").sortWithinPartitions("at", "user_id", "movie_id")


def tasks_per_pass(
    spark: SparkSession, partitions: int | Literal["auto"], *, expected: int, share: float = 1.0
) -> int:
    """How many tasks read the ``expected`` rows of a fit in each pass.

    ``auto`` is one task for each core of the fit's ``share`` of those that Spark will have, and more if a
    task would have more than :data:`ROWS_PER_TASK`. More tasks cost more, as each task sends a dense gradient
    in every pass, and a single task needs no shuffle; but rows that don't fit into memory are cached in parts
    as large as a task's.
    """
    if partitions != "auto":
        return partitions
    return max(math.ceil(expected_cores(spark) * share), math.ceil(expected / ROWS_PER_TASK))
