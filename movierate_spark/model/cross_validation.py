"""Fit and choose: Spark's LogisticRegression in Spark's CrossValidator, over folds in order of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from py4j.protocol import Py4JError
from pyspark import inheritable_thread_target
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.ml.common import _py2java
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL
from movierate_spark.config import TrainSettings
from movierate_spark.features.names import FEATURES
from movierate_spark.session import expected_cores

BLOCK = "block"


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
            with suppress(AttributeError, Py4JError):
                _set_initial_model(estimator, start)
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


def _set_initial_model(estimator: LogisticRegression, start: Start) -> None:
    spark = SparkSession.active().sparkContext
    java: Any = spark._jvm
    vector = _py2java(spark, Vectors.dense(start.coefficients))
    classification = java.org.apache.spark.ml.classification
    model = classification.LogisticRegressionModel("start", vector, start.intercept)
    cast("Any", estimator._java_obj).setInitialModel(model)


class RollingOriginCrossValidator(CrossValidator):
    """Spark's CrossValidator with folds that never train on their future, and the one-standard-error rule.

    The rows carry ``block``, a whole number in order of time. Fold i trains on the blocks before i
    and validates on block i, for i from 1 to ``numFolds`` (Hyndman and Athanasopoulos, Forecasting:
    Principles and Practice, section 5.10). Folds run side by side, ``parallelism`` at a time.
    ``fold_metrics`` (folds x params) is there after a fit.
    """

    fold_metrics: NDArray[np.float64]

    def _kFold(self, dataset: DataFrame) -> list[tuple[DataFrame, DataFrame]]:  # noqa: N802
        block = F.col(BLOCK)
        folds = range(1, self.getNumFolds() + 1)
        return [(dataset.where(block < fold), dataset.where(block == fold)) for fold in folds]

    def _fit(self, dataset: DataFrame) -> CrossValidatorModel:
        estimator, grid = cast("LogisticPath", self.getEstimator()), self.getEstimatorParamMaps()
        validate = inheritable_thread_target(dataset.sparkSession)(self._validate)
        with ThreadPool(self.getParallelism()) as pool:
            folds = pool.map(validate, self._kFold(dataset))
        self.fold_metrics = np.array([metrics for metrics, _ in folds])
        regularisation = [tuple(float(value) for value in params.values()) for params in grid]
        chosen = one_standard_error(self.fold_metrics, regularisation)
        average, deviation = self.fold_metrics.mean(axis=0), self.fold_metrics.std(axis=0)
        _, models_of_last_fold = folds[-1]
        best = estimator.fit_from(start_of(models_of_last_fold[chosen]), dataset, grid[chosen])
        return self._copyValues(CrossValidatorModel(best, list(average), None, list(deviation)))

    def _validate(
        self, fold: tuple[DataFrame, DataFrame]
    ) -> tuple[list[float], dict[int, LogisticRegressionModel]]:
        rows, unseen = fold
        grid, evaluator = self.getEstimatorParamMaps(), self.getEvaluator()
        metrics, models = [math.nan] * len(grid), {}
        for index, model in self.getEstimator().fitMultiple(rows, grid):
            metrics[index], models[index] = evaluator.evaluate(model.transform(unseen)), model
        return metrics, models


def differences_to_best(fold_metrics: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard error over the folds of each set's loss minus that of the best set (by mean).

    Folds differ in difficulty; the difference on the same rows does not know of it.
    """
    best = int(np.argmin(fold_metrics.mean(axis=0)))
    paired = fold_metrics - fold_metrics[:, [best]]
    return paired.mean(axis=0), paired.std(axis=0, ddof=1) / math.sqrt(len(paired))


def one_standard_error(fold_metrics: NDArray[np.float64], regularisation: Sequence[tuple[float, ...]]) -> int:
    """The most regularised set whose loss lies within one standard error of the best one's.

    The rule of Breiman et al. (Classification and Regression Trees, section 3.4.3), on paired differences.
    """
    mean, error = differences_to_best(fold_metrics)
    near = [index for index in range(len(mean)) if mean[index] <= error[index]]
    return max(near, key=lambda index: regularisation[index])


class LogLossEvaluator(MulticlassClassificationEvaluator):
    """Spark's log loss, telling ``done`` after each evaluation."""

    def __init__(self, done: Callable[[], None]) -> None:
        super().__init__(labelCol=LABEL)
        self.setParams(metricName="logLoss")  # type: ignore[arg-type]  # missing in its stub
        self._done = done

    def _evaluate(self, dataset: DataFrame) -> float:
        value = super()._evaluate(dataset)
        self._done()
        return value


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


@dataclass(frozen=True)
class SelectedModel:
    """A model with the penalty that cross-validation chose, fitted on all its rows, and the whole path."""

    model: LogisticRegressionModel
    params: dict[str, float]
    path: list[dict[str, Any]]


def cross_validate(
    rows: DataFrame, settings: TrainSettings, *, done: Callable[[], None] = lambda: None
) -> SelectedModel:
    """Choose the penalty on rows with ``features``, ``label`` and ``block``; ``done`` counts the fits."""
    estimator = logistic_regression(settings)
    grid = (
        ParamGridBuilder()
        .addGrid(estimator.regParam, list(settings.reg_param))
        .addGrid(estimator.elasticNetParam, list(settings.elastic_net_param))
        .build()
    )
    validator = RollingOriginCrossValidator(
        estimator=estimator,
        estimatorParamMaps=grid,
        evaluator=LogLossEvaluator(done),
        numFolds=settings.folds,
        seed=0,  # nothing is drawn: the folds are given
        parallelism=settings.parallelism,
    )
    model = cast("LogisticRegressionModel", validator.fit(rows).bestModel)
    params = {"regParam": model.getRegParam(), "elasticNetParam": model.getElasticNetParam()}
    sets = [{param.name: float(value) for param, value in each.items()} for each in grid]
    return SelectedModel(model, params, validation_path(validator.fold_metrics, sets, params))


def validation_path(
    fold_metrics: NDArray[np.float64], sets: Sequence[dict[str, float]], chosen: dict[str, float]
) -> list[dict[str, Any]]:
    """Each set of params with its log loss in each fold and against the best set on the same rows."""
    mean, error = differences_to_best(fold_metrics)
    return [
        {
            **params,
            "log_loss": float(fold_metrics[:, i].mean()),
            "folds": [float(value) for value in fold_metrics[:, i]],
            "difference": float(mean[i]),
            "standard_error": float(error[i]),
            "chosen": params == chosen,
        }
        for i, params in enumerate(sets)
    ]
