from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.evaluation import bootstrap
from movierate_spark.evaluation.metrics import METRICS, metrics_by

USERS = 400


def predictions(spark: SparkSession) -> DataFrame:
    """Five predictions for each of 400 users, by two models; b is a with noise."""
    random = np.random.default_rng(5)
    p = np.round(random.uniform(0.02, 0.98, size=USERS * 5), 3)
    label = (random.uniform(size=len(p)) < p).astype(float)
    noisy = np.clip(p + random.normal(scale=0.2, size=len(p)), 0.01, 0.99)
    rows = [
        (i // 5, model, float(label[i]), float(value[i]), 0.5)
        for model, value in (("a", p), ("b", noisy))
        for i in range(len(p))
    ]
    return spark.createDataFrame(
        rows, "user_id long, model string, label double, probability double, decision_threshold double"
    )


def points(rows: DataFrame) -> dict[str, dict[str, float]]:
    return {group["model"]: group for group in metrics_by(rows, "model")}


def test_users_are_drawn_with_a_mean_and_variance_of_one() -> None:
    users = np.arange(50_000)
    weights = [bootstrap.counts(users, resample=i, seed=1) for i in (0, 1)]
    assert weights[0].mean() == pytest.approx(1.0, abs=0.02)
    assert weights[0].var() == pytest.approx(1.0, abs=0.03)
    assert (weights[0] == 0).mean() == pytest.approx(np.exp(-1), abs=0.01)
    assert abs(np.corrcoef(weights)[0, 1]) < 0.02
    assert not np.array_equal(weights[0], bootstrap.counts(users, resample=0, seed=2))


def test_resamples_scatter_about_the_metric_itself(spark: SparkSession) -> None:
    rows = predictions(spark)
    resampled = bootstrap.resampled_metrics(rows, resamples=100, seed=1)
    exact = points(rows)
    for model in ("a", "b"):
        for name in ("auc", "auc_pr", "log_loss", "brier", "accuracy", "precision", "recall", "f1"):
            values = resampled[model][name]
            assert values.mean() == pytest.approx(exact[model][name], abs=4 * values.std() / 10), name


def test_a_resample_is_the_metric_of_rows_repeated_as_often_as_their_user_is_drawn(
    spark: SparkSession,
) -> None:
    rows = predictions(spark)
    weights = bootstrap.counts(np.arange(USERS), resample=3, seed=1)
    weight_of_user = spark.createDataFrame(list(enumerate(weights.tolist())), "user_id long, times int")
    repeated = (
        rows.join(weight_of_user, "user_id")
        .select("*", F.explode(F.expr("sequence(1, times)")).alias("copy"))
        .where("times > 0")
    )
    expected = points(repeated)["a"]
    resampled = bootstrap.resampled_metrics(rows, resamples=4, seed=1)["a"]
    for name in METRICS:
        assert resampled[name][3] == pytest.approx(expected[name], abs=2e-4), name


def test_two_models_are_compared_on_the_same_resamples(spark: SparkSession) -> None:
    resampled = bootstrap.resampled_metrics(predictions(spark), resamples=100, seed=1)
    better, worse = resampled["a"]["auc"], resampled["b"]["auc"]
    assert np.corrcoef(better, worse)[0, 1] > 0.5
    gained = better - worse
    low, _ = bootstrap.interval("auc", gained, point=float(gained.mean()), signed=True) or [0, 0]
    assert low > 0


def test_resamples_are_the_same_at_any_partitioning(spark: SparkSession) -> None:
    rows = predictions(spark)
    expected = bootstrap.resampled_metrics(rows.coalesce(1), resamples=3, seed=1)["a"]
    resampled = bootstrap.resampled_metrics(rows.repartition(5), resamples=3, seed=1)["a"]
    for name in METRICS:
        assert resampled[name] == pytest.approx(expected[name], abs=1e-12)


def test_an_interval_holds_its_metric_and_is_none_where_that_is_undefined() -> None:
    biased = np.linspace(0.02, 0.04, 101)  # a metric of 0.01 that every resample raises
    assert bootstrap.interval("brier", biased, point=0.01) == pytest.approx([0.0005, 0.0195])
    assert bootstrap.interval("brier", biased, point=0.001) == pytest.approx([0.0, 0.0105])
    near_one = np.array([0.9, 1.0])
    assert bootstrap.interval("recall", near_one, point=0.99) == pytest.approx([0.9425, 1.0])
    assert bootstrap.interval("log_loss", near_one, point=0.99) == pytest.approx([0.9425, 1.0375])
    assert bootstrap.interval("auc", np.array([0.5, np.nan]), point=0.5) is None
    assert bootstrap.interval("brier", biased, point=None) is None
    assert bootstrap.interval("ece", biased, point=0.01) is None
