"""Choice of the penalty: Spark's CrossValidator with folds in order of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pyspark import inheritable_thread_target
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL
from movierate_spark.config import TrainSettings
from movierate_spark.model.logistic_regression import (
    LogisticPath,
    logistic_regression,
    start_of,
    tasks_per_pass,
)

FOLD_PART = "fold_part"


class RollingOriginCrossValidator(CrossValidator):
    """Spark's CrossValidator with rolling-origin folds and the one-standard-error rule.

    The rows have ``fold_part``, a whole number in order of time. Fold i trains on the parts before i and
    validates on part i, for i from 1 to ``numFolds`` (Hyndman and Athanasopoulos, Forecasting: Principles and
    Practice, section 5.10). ``parallelism`` folds run at the same time, fold i in at most
    ``fold_tasks[i - 1]`` tasks. After a fit, ``fold_metrics`` has the shape (folds, sets of params).
    """

    fold_tasks: Sequence[int]
    fold_metrics: NDArray[np.float64]

    def _kFold(self, dataset: DataFrame) -> list[tuple[DataFrame, DataFrame]]:  # noqa: N802
        part = F.col(FOLD_PART)
        folds = range(1, self.getNumFolds() + 1)
        trained_on = (dataset.where(part < fold).coalesce(self.fold_tasks[fold - 1]) for fold in folds)
        return [(rows, dataset.where(part == fold)) for fold, rows in zip(folds, trained_on, strict=True)]

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
    """Mean and standard error, over the folds, of each set's loss minus the best set's (best by mean).

    Some folds are harder than others; the difference on the same rows removes that.
    """
    best = int(np.argmin(fold_metrics.mean(axis=0)))
    paired = fold_metrics - fold_metrics[:, [best]]
    return paired.mean(axis=0), paired.std(axis=0, ddof=1) / math.sqrt(len(paired))


def one_standard_error(fold_metrics: NDArray[np.float64], regularisation: Sequence[tuple[float, ...]]) -> int:
    """The index of the most regularised set whose loss is within one standard error of the best one's.

    The rule of Breiman et al. (Classification and Regression Trees, section 3.4.3), on paired differences.
    """
    mean, error = differences_to_best(fold_metrics)
    near = [index for index in range(len(mean)) if mean[index] <= error[index]]
    return max(near, key=lambda index: regularisation[index])


class LogLossEvaluator(MulticlassClassificationEvaluator):
    """Spark's log loss; calls ``done`` after each evaluation."""

    def __init__(self, done: Callable[[], None]) -> None:
        super().__init__(labelCol=LABEL)
        self.setParams(metricName="logLoss")  # type: ignore[arg-type]  # missing in its stub
        self._done = done

    def _evaluate(self, dataset: DataFrame) -> float:
        value = super()._evaluate(dataset)
        self._done()
        return value


@dataclass(frozen=True)
class SelectedModel:
    """The model with the chosen penalty, fitted on all rows; ``path`` has an entry per penalty tried."""

    model: LogisticRegressionModel
    params: dict[str, float]
    path: list[dict[str, Any]]


def cross_validate(
    rows: DataFrame, settings: TrainSettings, *, expected: int, done: Callable[[], None] = lambda: None
) -> SelectedModel:
    """Choose the penalty on ``expected`` rows with ``features``, ``label`` and ``fold_part``.

    ``done`` is called after each evaluation.
    """
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
        seed=0,  # not used, as the folds are fixed
        parallelism=settings.parallelism,
    )
    validator.fold_tasks = fold_tasks(rows.sparkSession, settings, expected=expected)
    model = cast("LogisticRegressionModel", validator.fit(rows).bestModel)
    params = {"regParam": model.getRegParam(), "elasticNetParam": model.getElasticNetParam()}
    sets = [{param.name: float(value) for param, value in each.items()} for each in grid]
    return SelectedModel(model, params, validation_path(validator.fold_metrics, sets, params))


def fold_tasks(spark: SparkSession, settings: TrainSettings, *, expected: int) -> list[int]:
    """How many tasks read the rows of each fold in a pass: of the cores, each has its share of the rows.

    Fold i trains on i of ``folds`` + 1 parts of the ``expected`` rows. The shares are those among the largest
    folds that run at the same time.
    """
    folds = range(1, settings.folds + 1)
    at_once = sum(folds[-settings.parallelism :])
    return [
        tasks_per_pass(
            spark,
            settings.partitions,
            expected=expected * fold // (settings.folds + 1),
            share=fold / at_once,
        )
        for fold in folds
    ]


def validation_path(
    fold_metrics: NDArray[np.float64], sets: Sequence[dict[str, float]], chosen: dict[str, float]
) -> list[dict[str, Any]]:
    """For each set of params: its mean log loss, that of each fold, and the difference to the best set."""
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
