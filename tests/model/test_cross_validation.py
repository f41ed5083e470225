from __future__ import annotations

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.model import cross_validation
from movierate_spark.model import logistic_regression as logistic_regression_module
from movierate_spark.model.logistic_regression import (
    LogisticPath,
    logistic_regression,
)


def parts(spark: SparkSession, *, rows: int = 400) -> DataFrame:
    random = np.random.default_rng(11)
    x = random.normal(size=(rows, 2))
    y = random.uniform(size=rows) < 1 / (1 + np.exp(-(0.5 + 2 * x[:, 0])))
    data = [
        (float(a), float(b), float(c), i * 4 // rows) for i, ((a, b), c) in enumerate(zip(x, y, strict=True))
    ]
    frame = spark.createDataFrame(data, "a double, b double, label double, fold_part int")
    return frame.select(array_to_vector(F.array("a", "b")).alias("features"), "a", "b", "label", "fold_part")


def test_a_fold_never_trains_on_its_future(spark: SparkSession) -> None:
    validator = cross_validation.RollingOriginCrossValidator(numFolds=3)
    validator.fold_tasks = [1, 2, 3]
    folds = validator._kFold(parts(spark).repartition(5))
    for i, (past, future) in enumerate(folds, start=1):
        assert past.rdd.getNumPartitions() == i
        assert {row["fold_part"] for row in past.select("fold_part").distinct().collect()} == set(range(i))
        assert {row["fold_part"] for row in future.select("fold_part").distinct().collect()} == {i}


def test_every_set_is_measured_in_every_fold(spark: SparkSession, settings: Settings) -> None:
    fits = []
    grid = settings.train.model_copy(update={"reg_param": (0.001, 10.0), "elastic_net_param": (0.0, 0.5)})
    chosen = cross_validation.cross_validate(parts(spark), grid, expected=400, done=lambda: fits.append(1))
    assert len(fits) == 3 * 4
    assert [len(point["folds"]) for point in chosen.path] == [3] * 4
    assert [point["params"] for point in _params(chosen.path) if point["chosen"]] == [chosen.params]
    assert chosen.params["regParam"] == 0.001
    assert min(chosen.path, key=lambda point: point["log_loss"])["difference"] == 0.0


def _params(path: list[dict[str, object]]) -> list[dict[str, object]]:
    names = ("regParam", "elasticNetParam")
    return [{**point, "params": {name: point[name] for name in names}} for point in path]


def test_the_rule_takes_the_strongest_penalty_that_is_hardly_worse_in_each_fold() -> None:
    # Folds differ by 0.3; the second set loses 0.001 in two folds and wins as much in one, the third 0.01.
    folds = np.array([[0.5, 0.501, 0.51], [0.8, 0.799, 0.811], [0.6, 0.601, 0.609]])
    assert cross_validation.one_standard_error(folds, [(0.1,), (1.0,), (10.0,)]) == 1
    # On the folds' own deviation, blind to the pairs, the third would have been near enough.
    assert folds[:, 2].mean() - folds[:, 0].mean() < folds[:, 0].std(ddof=1) / np.sqrt(3)


def test_the_best_set_wins_where_every_other_is_worse_in_each_fold() -> None:
    folds = np.array([[0.5, 0.51, 0.52], [0.8, 0.81, 0.82], [0.6, 0.61, 0.62]])
    assert cross_validation.one_standard_error(folds, [(0.1,), (1.0,), (10.0,)]) == 0


def test_a_warm_start_ends_where_a_cold_one_does(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = logistic_regression(settings.train.model_copy(update={"tol": 1e-9, "max_iter": 200}))
    grid = [{estimator.regParam: value, estimator.elasticNetParam: 0.0} for value in (0.001, 0.1, 0.01)]
    warm = dict(estimator.fitMultiple(parts(spark), grid))
    fit_from = LogisticPath.fit_from
    monkeypatch.setattr(LogisticPath, "fit_from", lambda self, _, *rest: fit_from(self, None, *rest))
    cold = dict(estimator.fitMultiple(parts(spark), grid))
    assert list(warm) == [1, 2, 0]
    for index in range(3):
        assert warm[index].coefficients.toArray() == pytest.approx(
            cold[index].coefficients.toArray(), abs=1e-5
        )
    iterations = [sum(models[i].summary.totalIterations for i in range(3)) for models in (warm, cold)]
    assert iterations[0] < iterations[1]


@pytest.mark.parametrize(
    ("cores", "parallelism", "partitions", "expected", "tasks"),
    [
        (2, 3, "auto", 0, [1, 1, 1]),
        (12, 3, "auto", 0, [2, 4, 6]),
        (5, 2, "auto", 0, [1, 2, 3]),
        (2, 1, "auto", 0, [1, 2, 2]),
        (2, 3, "auto", 8_000_000, [2, 4, 6]),
        (2, 3, 7, 0, [7, 7, 7]),
    ],
)
def test_folds_share_the_cores_by_their_rows(
    spark: SparkSession,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    parallelism: int,
    partitions: int | str,
    expected: int,
    tasks: list[int],
) -> None:
    monkeypatch.setattr(logistic_regression_module, "expected_cores", lambda _: cores)
    options = settings.train.model_copy(update={"parallelism": parallelism, "partitions": partitions})
    assert cross_validation.fold_tasks(spark, options, expected=expected) == tasks
