"""Intervals by linearisation, compared with the same sums computed with pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from scipy import stats

from movierate_spark.evaluation.standard_errors import people_and_intervals

THRESHOLD = 0.5


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Two groups; users differ. One probability per thousandth, so that ranks are exact."""
    random = np.random.default_rng(4)
    user_id = random.integers(1, 30, 600)
    p = np.clip(random.normal(0.4 + 0.01 * user_id, 0.2), 0.001, 0.998)
    label = (random.uniform(size=600) < p).astype(float)
    probability = (np.floor(p * 1000) + 0.5) / 1000
    group = np.where(random.uniform(size=600) < 0.4, "a", "b")
    return pd.DataFrame({"group": group, "user_id": user_id, "label": label, "probability": probability})


@pytest.fixture(scope="module")
def groups(spark: SparkSession, rows: pd.DataFrame) -> dict[tuple[object, ...], dict[str, object]]:
    frame = spark.createDataFrame(pa.Table.from_pandas(rows.assign(decision_threshold=THRESHOLD)))
    return people_and_intervals(frame, "group")


def interval(
    influence: pd.Series, weight: pd.Series, user_id: pd.Series, value: float, *, most: float = 1.0
) -> list[float]:
    by_user, weights = influence.groupby(user_id).sum(), weight.groupby(user_id).sum()
    effective = weights.sum() ** 2 / weights.pow(2).sum()
    error = np.sqrt(by_user.pow(2).sum() * effective / (effective - 1))
    half = stats.t.isf(0.025, effective - 1) * error
    return [max(value - half, 0), min(value + half, most)]


@pytest.mark.parametrize("group", ["a", "b"])
def test_the_auc_has_delongs_interval_for_clustered_data(
    groups: dict[tuple[object, ...], dict[str, dict[str, object]]], rows: pd.DataFrame, group: str
) -> None:
    part = rows[rows["group"] == group]
    liked, p = part["label"] > 0, part["probability"]
    pairs = (p[liked].to_numpy()[:, None] > p[~liked].to_numpy()[None, :]).astype(float)
    pairs += 0.5 * (p[liked].to_numpy()[:, None] == p[~liked].to_numpy()[None, :])
    auc = pairs.mean()
    influence = pd.Series(0.0, index=part.index)
    influence[liked] = (pairs.mean(axis=1) - auc) / liked.sum()
    influence[~liked] = (pairs.mean(axis=0) - auc) / (~liked).sum()
    weight = pd.Series(np.where(liked, 1 / liked.sum(), 1 / (~liked).sum()), index=part.index)
    expected = interval(influence, weight, part["user_id"], auc)
    assert groups[(group,)]["people"] == part["user_id"].nunique()
    assert groups[(group,)]["intervals"]["auc"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("group", ["a", "b"])
def test_ratios_of_sums_have_the_interval_of_their_linearisation(
    groups: dict[tuple[object, ...], dict[str, dict[str, object]]], rows: pd.DataFrame, group: str
) -> None:
    part = rows[rows["group"] == group]
    y, p = part["label"], part["probability"]
    called = (p >= THRESHOLD).astype(float)
    one = pd.Series(1.0, index=part.index)
    loss = -np.log(np.where(y > 0, p, 1 - p))
    ratios = {
        "accuracy": ((called == y).astype(float), one),
        "log_loss": (pd.Series(loss, index=part.index), one),
        "brier": ((y - p) ** 2, one),
        "precision": (called * y, called),
        "recall": (called * y, y),
        "f1": (2 * called * y, called + y),
    }
    for name, (numerator, denominator) in ratios.items():
        value = numerator.sum() / denominator.sum()
        influence = (numerator - value * denominator) / denominator.sum()
        most = np.inf if name == "log_loss" else 1.0
        expected = interval(influence, denominator, part["user_id"], value, most=most)
        assert groups[(group,)]["intervals"][name] == pytest.approx(expected, rel=1e-9), name


def test_what_can_not_be_told_has_no_interval(spark: SparkSession) -> None:
    rows = pd.DataFrame(
        [
            ("one user", 1, 1.0, 0.7), ("one user", 1, 0.0, 0.2),
            ("all liked", 1, 1.0, 0.9), ("all liked", 2, 1.0, 0.8),
        ],
        columns=["group", "user_id", "label", "probability"],
    )  # fmt: skip
    groups = people_and_intervals(
        spark.createDataFrame(pa.Table.from_pandas(rows.assign(decision_threshold=0.5))), "group"
    )
    assert set(groups["one user",]["intervals"].values()) == {None}
    assert groups["all liked",]["intervals"]["auc"] is None
    assert groups["all liked",]["intervals"]["accuracy"] is None  # it does not vary
    assert groups["all liked",]["intervals"]["brier"] is not None
