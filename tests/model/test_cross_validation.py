from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.model import baselines
from movierate_spark.model import calibration as calibrate
from movierate_spark.model import cross_validation as train
from movierate_spark.model import logistic_regression as logistic_regression_module
from movierate_spark.model.calibration import calibrated, interpolated
from movierate_spark.model.logistic_regression import (
    LogisticPath,
    laid_out,
    logistic_regression,
)
from movierate_spark.storage.documents import Calibration


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
    validator = train.RollingOriginCrossValidator(numFolds=3)
    validator.fold_tasks = [1, 2, 3]
    folds = validator._kFold(parts(spark).repartition(5))
    for i, (past, future) in enumerate(folds, start=1):
        assert past.rdd.getNumPartitions() == i
        assert {row["fold_part"] for row in past.select("fold_part").distinct().collect()} == set(range(i))
        assert {row["fold_part"] for row in future.select("fold_part").distinct().collect()} == {i}


def test_every_set_is_measured_in_every_fold(spark: SparkSession, settings: Settings) -> None:
    fits = []
    grid = settings.train.model_copy(update={"reg_param": (0.001, 10.0), "elastic_net_param": (0.0, 0.5)})
    chosen = train.cross_validate(parts(spark), grid, expected=400, done=lambda: fits.append(1))
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
    assert train.one_standard_error(folds, [(0.1,), (1.0,), (10.0,)]) == 1
    # On the folds' own deviation, blind to the pairs, the third would have been near enough.
    assert folds[:, 2].mean() - folds[:, 0].mean() < folds[:, 0].std(ddof=1) / np.sqrt(3)


def test_the_best_set_wins_where_every_other_is_worse_in_each_fold() -> None:
    folds = np.array([[0.5, 0.51, 0.52], [0.8, 0.81, 0.82], [0.6, 0.61, 0.62]])
    assert train.one_standard_error(folds, [(0.1,), (1.0,), (10.0,)]) == 0


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


def test_calibration_corrects_an_overconfident_logit(spark: SparkSession) -> None:
    random = np.random.default_rng(13)
    logit = random.normal(size=4000)
    y = random.uniform(size=4000) < 1 / (1 + np.exp(-(0.5 * logit + 0.3)))
    rows = spark.createDataFrame(
        [(float(a), float(b)) for a, b in zip(logit, y, strict=True)], "logit double, label double"
    )
    calibration = calibrate.fit_calibration(rows, method="platt")
    assert calibration.slope == pytest.approx(0.5, abs=0.1)
    assert calibration.intercept == pytest.approx(0.3, abs=0.1)
    assert calibrate.fit_calibration(rows, method="none") == Calibration(method="none")


def test_isotonic_calibration_follows_like_rates_that_no_line_could(spark: SparkSession) -> None:
    # Logits of -2, 0 and 2, of which 10%, 10% and 60% are liked: a step, not a line.
    likes = {-2.0: 10, 0.0: 10, 2.0: 60}
    data = [(logit, float(i < count)) for logit, count in likes.items() for i in range(100)]
    calibration = calibrate.fit_calibration(
        spark.createDataFrame(data, "logit double, label double"), method="isotonic"
    )
    logits = spark.createDataFrame([(-9.0,), (-2.0,), (0.0,), (1.0,), (2.0,), (9.0,)], "logit double")
    actual = [row["p"] for row in logits.select(calibrated(F.col("logit"), calibration).alias("p")).collect()]
    low, high = 20.5 / 201, 60.5 / 101
    assert actual == pytest.approx([low, low, low, (low + high) / 2, high, high])


def test_isotonic_calibration_of_thin_tails_is_pulled_to_the_middle_as_little_as_their_rows_ask(
    spark: SparkSession,
) -> None:
    tails = [(side * (3 + tenth / 10), float(side > 0)) for side in (-1, 1) for tenth in range(20)]
    middle = [(0.0, float(i % 2)) for i in range(100)]
    calibration = calibrate.fit_calibration(
        spark.createDataFrame(tails + middle, "logit double, label double"), method="isotonic"
    )
    assert calibration.logits == pytest.approx((-4.9, -3.0, 0.0, 0.0, 3.0, 4.9))
    ends = (0.5 / 21, 20.5 / 21)  # with half a like in each tenth, they would be 1/4 and 3/4
    assert calibration.probabilities == pytest.approx((ends[0], ends[0], 0.5, 0.5, ends[1], ends[1]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(knots=st.lists(st.integers(-40, 40), min_size=1, max_size=6, unique=True), x=st.integers(-50, 50))
def test_interpolation_equals_that_of_numpy(spark: SparkSession, knots: list[int], x: int) -> None:
    at = sorted(knots)
    values = [(i * i + 1) / 50 for i in range(len(at))]
    row = spark.range(1).select(interpolated(F.lit(float(x)), at, values).alias("y")).first()
    assert row is not None
    assert row["y"] == pytest.approx(np.interp(x, at, values))


def test_calibration_never_reverses_the_order(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [(1.0, 0.0), (2.0, 0.0), (0.5, 1.0), (-1.0, 1.0), (1.5, 1.0)], "logit double, label double"
    )
    assert calibrate.fit_calibration(rows, method="platt").method == "none"


def test_always_like_predicts_the_like_rate(spark: SparkSession) -> None:
    rows = [
        (1.0, 3.0, 4.5),
        (1.0, 4.0, 4.0),
        (1.0, 3.0, 2.5),
        (0.0, 2.0, 2.0),
        (0.0, 3.5, 3.0),
        (1.0, 2.5, 3.5),
    ]
    models = baselines.fit_baselines(
        spark.createDataFrame(rows, "label double, user_mean double, movie_mean double")
    )
    assert models["always_like"].intercept == pytest.approx(math.log(4 / 2))
    assert set(models["user_movie_mean"].coefficients) == {"user_mean", "movie_mean"}


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


@pytest.mark.parametrize(("expected", "tasks"), [(0, 2), (2_000_000, 2), (2_000_001, 3), (20_000_000, 20)])
def test_a_task_has_no_more_than_a_million_rows(spark: SparkSession, expected: int, tasks: int) -> None:
    rows = spark.range(1).select(
        F.col("id").alias("user_id"), F.col("id").alias("movie_id"), F.timestamp_seconds("id").alias("at")
    )
    laid = laid_out(rows, partitions="auto", expected=expected)
    assert laid.rdd.getNumPartitions() == tasks


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
    assert train.fold_tasks(spark, options, expected=expected) == tasks
