from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.model.calibration import calibrated, fit_calibration, interpolated
from movierate_spark.storage.documents import Calibration


def test_calibration_corrects_an_overconfident_logit(spark: SparkSession) -> None:
    random = np.random.default_rng(13)
    logit = random.normal(size=4000)
    y = random.uniform(size=4000) < 1 / (1 + np.exp(-(0.5 * logit + 0.3)))
    rows = spark.createDataFrame(
        [(float(a), float(b)) for a, b in zip(logit, y, strict=True)], "logit double, label double"
    )
    calibration = fit_calibration(rows, method="platt")
    assert calibration.slope == pytest.approx(0.5, abs=0.1)
    assert calibration.intercept == pytest.approx(0.3, abs=0.1)
    assert fit_calibration(rows, method="none") == Calibration(method="none")


def test_two_rows_that_the_logit_separates_leave_probabilities_that_are_not_certain(
    spark: SparkSession,
) -> None:
    rows = spark.createDataFrame([(0.2, 0.0), (0.5, 1.0)], "logit double, label double")
    calibration = fit_calibration(rows, method="platt")
    assert calibration.slope == pytest.approx(2 * np.log(2) / 0.3)  # of Platt's targets, 1/3 and 2/3
    assert calibration.slope * 0.5 + calibration.intercept == pytest.approx(np.log(2))


def test_isotonic_calibration_follows_like_rates_that_no_line_could(spark: SparkSession) -> None:
    # Logits of -2, 0 and 2, of which 10%, 10% and 60% are liked: a step, not a line.
    likes = {-2.0: 10, 0.0: 10, 2.0: 60}
    data = [(logit, float(i < count)) for logit, count in likes.items() for i in range(100)]
    calibration = fit_calibration(
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
    calibration = fit_calibration(
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
    assert fit_calibration(rows, method="platt").method == "none"
