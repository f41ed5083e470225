"""Fit and choose: Spark's LogisticRegression in Spark's CrossValidator, over folds in order of time."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Literal, cast

import numpy as np
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.config import TrainSettings
from movierate_spark.features.stages import FEATURES

LABEL = "label"
BLOCK = "block"
BASELINES = {"movie_mean": ("movie_mean",), "user_movie_mean": ("user_mean", "movie_mean")}


class RollingOriginCrossValidator(CrossValidator):
    """Spark's CrossValidator with folds that never train on their future.

    The rows carry ``block``, a whole number in order of time. Fold i trains on the blocks before i
    and validates on block i, for i from 1 to ``numFolds`` (Hyndman and Athanasopoulos, Forecasting:
    Principles and Practice, section 5.10).
    """

    def _kFold(self, dataset: DataFrame) -> list[tuple[DataFrame, DataFrame]]:  # noqa: N802
        block = F.col(BLOCK)
        folds = range(1, self.getNumFolds() + 1)
        return [(dataset.where(block < fold), dataset.where(block == fold)) for fold in folds]


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


def logistic_regression(settings: TrainSettings, **params: Any) -> LogisticRegression:
    """The estimator that every fit uses; features are standardised inside, coefficients are not."""
    return LogisticRegression(
        featuresCol=FEATURES, labelCol=LABEL, maxIter=settings.max_iter, tol=settings.tol, **params
    )


def laid_out(rows: DataFrame, *, partitions: int | Literal["auto"]) -> DataFrame:
    """The same rows in the same tasks and order whatever came before, so that sums come out the same.

    ``auto`` makes a task for each core: every pass of a fit sends its dense gradient from each task.
    """
    tasks = rows.sparkSession.sparkContext.defaultParallelism if partitions == "auto" else partitions
    return rows.repartition(tasks, "user_id", "movie_id").sortWithinPartitions("at", "user_id", "movie_id")


def cross_validate(
    rows: DataFrame, settings: TrainSettings, *, done: Callable[[], None] = lambda: None
) -> CrossValidatorModel:
    """Choose the penalty on rows with ``features``, ``label`` and ``block``; ``done`` counts the fits.

    The best model is fitted on all the rows.
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
        seed=settings.seed,
        parallelism=settings.parallelism,
    )
    return validator.fit(rows)


def validation_path(model: CrossValidatorModel) -> list[dict[str, float]]:
    """The grid with the mean and the standard deviation of the folds' log loss."""
    pairs = zip(model.getEstimatorParamMaps(), model.avgMetrics, model.stdMetrics, strict=True)
    return [
        {**{param.name: float(value) for param, value in params.items()}, "log_loss": mean, "std": std}
        for params, mean, std in pairs
    ]


def best_params(model: CrossValidatorModel) -> dict[str, float]:
    """The chosen ``regParam`` and ``elasticNetParam``."""
    best = cast("LogisticRegressionModel", model.bestModel)
    return {"regParam": best.getRegParam(), "elasticNetParam": best.getElasticNetParam()}


def fit_calibration(rows: DataFrame, *, method: str) -> dict[str, Any]:
    """Platt's scaling (1999) on rows with ``logit`` and ``label``, as plain numbers.

    The calibrated log odds are ``slope * logit + intercept``. Rows of a single class, or a slope that
    would turn the order round, leave the logit as it is.
    """
    unchanged = {"method": "none", "slope": 1.0, "intercept": 0.0}
    if method == "none" or rows.select(LABEL).distinct().count() < 2:
        return unchanged
    intercept, (slope,) = fit_plain(rows, ("logit",))
    return {"method": "platt", "slope": slope, "intercept": intercept} if slope > 0 else unchanged


def fit_plain(rows: DataFrame, columns: Sequence[str]) -> tuple[float, list[float]]:
    """Intercept and coefficients of an unpenalised logistic regression of ``label`` on few columns.

    Newton's method (iteratively reweighted least squares; McCullagh and Nelder, Generalized Linear
    Models, section 4.4): each step is one aggregation over the rows. Where the rows can be parted
    without error there is no finite optimum, and the last of 25 steps stands.
    """
    x = [F.lit(1.0), *(F.col(name).cast("double") for name in columns)]
    size = len(x)
    beta = np.zeros(size)
    for _ in range(25):
        odds = reduce(operator.add, (F.lit(float(b)) * column for b, column in zip(beta, x, strict=True)))
        p = F.lit(1.0) / (F.lit(1.0) + F.exp(-odds))
        gradient = [F.sum((F.col(LABEL) - p) * column) for column in x]
        information = [F.sum(p * (1 - p) * x[i] * x[j]) for i in range(size) for j in range(size)]
        sums = np.array(rows.agg(*gradient, *information).head(), dtype=float)
        step = np.linalg.lstsq(sums[size:].reshape(size, size), sums[:size], rcond=None)[0]
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[0]), [float(value) for value in beta[1:]]


def fit_baselines(rows: DataFrame) -> dict[str, dict[str, Any]]:
    """What a model must beat, as plain logistic models: ``intercept``, ``coefficients``, ``threshold``.

    ``always_like`` knows the like rate only and always says liked; the others know the movie's mean
    as of the row, and the user's too. ``rows`` have ``label`` and the history's columns.
    """
    liked, total = rows.agg(F.sum(LABEL), F.count(LABEL)).head() or (0, 0)
    rate_odds = math.log(liked / (total - liked))
    baselines: dict[str, dict[str, Any]] = {
        "always_like": {"intercept": rate_odds, "coefficients": {}, "threshold": 0.0}
    }
    for name, columns in BASELINES.items():
        intercept, values = fit_plain(rows, columns)
        coefficients = dict(zip(columns, values, strict=True))
        baselines[name] = {"intercept": intercept, "coefficients": coefficients, "threshold": 0.5}
    return baselines
