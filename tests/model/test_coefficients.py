from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.model import coefficients
from movierate_spark.model.coefficients import added_up, coefficient_table
from movierate_spark.model.logistic_regression import logistic_regression

NAMES = ["x", "yes", "always 3"]


@pytest.fixture(scope="module")
def design() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    x = np.column_stack(
        [random.normal(2, 3, 500), (random.uniform(size=500) < 0.3).astype(float), np.full(500, 3.0)]
    )
    y = (random.uniform(size=500) < 1 / (1 + np.exp(-(0.4 * x[:, 0] - x[:, 1])))).astype(float)
    return x, y


@pytest.fixture(scope="module")
def vectors(spark: SparkSession, design: tuple[np.ndarray, np.ndarray]) -> DataFrame:
    x, y = design
    table = pa.table({"x": list(x), "label": y})
    return (
        spark.createDataFrame(table).select(array_to_vector(F.col("x")).alias("features"), "label").persist()
    )


@pytest.mark.parametrize("reg_param", [0.0, 0.05])
def test_standard_errors_are_of_the_observed_information_with_the_penalty(
    settings: Settings, vectors: DataFrame, design: tuple[np.ndarray, np.ndarray], reg_param: float
) -> None:
    params = {"regParam": reg_param, "elasticNetParam": 0.0}
    model = logistic_regression(settings.train, **params).fit(vectors)
    entries = coefficient_table(vectors, model, NAMES, params)
    x, _ = design
    p = 1 / (1 + np.exp(-(x @ model.coefficients.toArray() + model.intercept)))
    used = np.column_stack([np.ones(len(x)), x[:, :2]])
    penalty = np.diag([0.0, *(len(x) * reg_param * x[:, :2].var(axis=0, ddof=1))])
    covariance = np.linalg.inv((used.T * (p * (1 - p))) @ used + penalty)
    expected = np.sqrt(np.diag(covariance))[1:]
    assert [entry["standard_error"] for entry in entries[:2]] == pytest.approx(expected, rel=1e-9)
    assert [entry["feature"] for entry in entries] == NAMES
    assert [entry["indicator"] for entry in entries] == [False, True, False]
    assert [entry["deviation"] for entry in entries] == pytest.approx(
        [*x[:, :2].std(axis=0, ddof=1), 0], abs=1e-9
    )


def test_a_wide_model_has_the_same_deviations_without_standard_errors(
    settings: Settings, vectors: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"regParam": 0.05, "elasticNetParam": 0.0}
    model = logistic_regression(settings.train, **params).fit(vectors)
    narrow = coefficient_table(vectors, model, NAMES, params)
    monkeypatch.setattr(coefficients, "MOST_FEATURES", 2)
    wide = coefficient_table(vectors, model, NAMES, params)
    assert [each["standard_error"] for each in wide] == [None] * 3
    for name in ("feature", "coefficient", "indicator"):
        assert [each[name] for each in wide] == [each[name] for each in narrow]
    deviations = [each["deviation"] for each in narrow]
    assert [each["deviation"] for each in wide] == pytest.approx(deviations, rel=1e-9, abs=1e-6)


def test_the_penalty_term_is_the_one_that_spark_minimises(
    settings: Settings, vectors: DataFrame, design: tuple[np.ndarray, np.ndarray]
) -> None:
    """At the fit the penalised gradient is zero, with coefficients of standardised features penalised."""
    tight = settings.train.model_copy(update={"tol": 1e-12, "max_iter": 200})
    model = logistic_regression(tight, regParam=0.05, elasticNetParam=0.0).fit(vectors)
    x, y = design
    beta = model.coefficients.toArray()
    p = 1 / (1 + np.exp(-(x @ beta + model.intercept)))
    gradient = x.T @ (y - p) / len(x) - 0.05 * x.var(axis=0, ddof=1) * beta
    assert gradient[:2] == pytest.approx([0, 0], abs=1e-6)


def test_a_lasso_and_a_zero_coefficient_have_no_standard_error(
    settings: Settings, vectors: DataFrame
) -> None:
    params = {"regParam": 0.05, "elasticNetParam": 1.0}
    model = logistic_regression(settings.train, **params).fit(vectors)
    entries = coefficient_table(vectors, model, NAMES, params)
    assert [entry["standard_error"] for entry in entries] == [None] * 3
    ridge = {"regParam": 0.05, "elasticNetParam": 0.0}
    fitted = logistic_regression(settings.train, **ridge).fit(vectors)
    constant = coefficient_table(vectors, fitted, NAMES, ridge)[2]
    assert constant["coefficient"] == 0
    assert constant["standard_error"] is None


def test_coefficients_that_are_not_identified_have_no_standard_error(
    spark: SparkSession, settings: Settings
) -> None:
    """Without a penalty, indicators of all values of an attribute add up to the intercept."""
    random = np.random.default_rng(4)
    kind, x = random.integers(0, 3, 400), random.normal(0, 1, 400)
    columns = np.column_stack([x, *(kind == value for value in range(3))]).astype(float)
    y = (random.uniform(size=400) < 1 / (1 + np.exp(-x - (kind == 1)))).astype(float)
    frame = spark.createDataFrame(pa.table({"x": list(columns), "label": y}))
    rows = frame.select(array_to_vector(F.col("x")).alias("features"), "label")
    params = {"regParam": 0.0, "elasticNetParam": 0.0}
    model = logistic_regression(settings.train, **params).fit(rows)
    errors = [
        each["standard_error"]
        for each in coefficient_table(rows, model, ["x", "kind 0", "kind 1", "kind 2"], params)
    ]
    p = 1 / (1 + np.exp(-(columns @ model.coefficients.toArray() + model.intercept)))
    information = (columns.T * (p * (1 - p))) @ columns  # without the intercept, which the indicators are
    assert errors[0] == pytest.approx(np.sqrt(np.linalg.inv(information)[0, 0]), rel=1e-9)
    assert errors[1:] == [None] * 3


def test_the_driver_is_sent_one_matrix_whatever_the_number_of_tasks(spark: SparkSession) -> None:
    parts = spark.createDataFrame(
        [(task, 10 * task, [float(task), 1.0]) for task in range(7)],
        "task int, rows long, sums array<double>",
    )
    rows = [tuple(row) for row in added_up(parts, groups=3).select("rows", "sums").collect()]
    assert rows == [(210, [21.0, 7.0])]
    assert added_up(parts.limit(0), groups=3).isEmpty()
