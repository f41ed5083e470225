"""Spark's LogisticRegression, which may start from another fit, and the layout of the rows that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.sql import DataFrame

from movierate_spark.columns import LABEL
from movierate_spark.config import TrainSettings
from movierate_spark.features.names import FEATURES
from movierate_spark.session import expected_cores
from movierate_spark.spark_internals import set_initial_model


class LogisticPath(LogisticRegression):
    """Spark's LogisticRegression; several fits go from strong to weak penalty, each from the last.

    The warm start (Friedman, Hastie and Tibshirani 2010, section 2.5) exists in the JVM's class only,
    and not under Spark Connect: where it can't be had, every fit starts from zero, with the same result
    within ``tol``.
    """

    def fitMultiple(  # noqa: N802
        self, dataset: DataFrame, paramMaps: Sequence[Any]
    ) -> Iterator[tuple[int, LogisticRegressionModel]]:
        """Yield (index, model) for each set of params, strongest penalty first; not for several threads."""
        chains: dict[float, LogisticRegressionModel] = {}
        for index in sorted(range(len(paramMaps)), key=lambda i: -paramMaps[i][self.regParam]):
            mixing = paramMaps[index].get(self.elasticNetParam, self.getElasticNetParam())
            start = start_of(chains[mixing]) if mixing in chains else None
            chains[mixing] = self.fit_from(start, dataset, paramMaps[index])
            yield index, chains[mixing]

    def fit_from(
        self, start: Start | None, dataset: DataFrame, params: Any = None
    ) -> LogisticRegressionModel:
        """Fit, starting from given coefficients, one for each feature."""
        estimator = self.copy(params)
        if start is not None:
            set_initial_model(estimator, start.coefficients.tolist(), start.intercept)
        return cast("LogisticRegressionModel", estimator.fit(dataset))


@dataclass(frozen=True)
class Start:
    """Where a fit begins: coefficients and intercept on the features' own scale."""

    coefficients: NDArray[np.float64]
    intercept: float

    def for_slots(self, before: Sequence[str], now: Sequence[str]) -> Start:
        """The same for features that have come, gone or moved since, by their names; new ones at 0."""
        known = dict(zip(before, self.coefficients, strict=True))
        return Start(np.array([known.get(name, 0.0) for name in now]), self.intercept)


def start_of(model: LogisticRegressionModel) -> Start:
    """A fitted model as the start of another fit."""
    return Start(model.coefficients.toArray(), model.intercept)


def logistic_regression(settings: TrainSettings, **params: Any) -> LogisticPath:
    """The estimator that every fit uses; features are standardised inside, coefficients are not."""
    return LogisticPath(
        featuresCol=FEATURES, labelCol=LABEL, maxIter=settings.max_iter, tol=settings.tol, **params
    )


def laid_out(rows: DataFrame, *, partitions: int | Literal["auto"]) -> DataFrame:
    """The same rows in the same tasks and order whatever came before, so that sums come out the same.

    ``auto`` makes a task for each core that Spark will have: in every pass of a fit each task sends a dense
    gradient.
    """
    tasks = expected_cores(rows.sparkSession) if partitions == "auto" else partitions
    return rows.repartition(tasks, "user_id", "movie_id").sortWithinPartitions("at", "user_id", "movie_id")
