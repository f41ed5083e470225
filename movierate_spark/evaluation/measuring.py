"""Metrics of labelled rows with log odds: the same for training's test slice and for evaluate."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame

from movierate_spark.evaluation import metrics as evaluate
from movierate_spark.model.baselines import with_baselines
from movierate_spark.model.calibration import with_probability
from movierate_spark.storage.documents import Baseline, Calibration, Measurement


def measure(
    rows: DataFrame,
    *,
    calibration: Calibration,
    decision_threshold: float,
    baselines: Mapping[str, Baseline],
) -> Measurement:
    """Metrics of labelled rows with ``logit``, attributes and history: see :func:`evaluate.evaluate`."""
    predictions = with_baselines(with_probability(rows, calibration), baselines)
    cuts = {name: baseline.decision_threshold for name, baseline in baselines.items()}
    return evaluate.evaluate(predictions, decision_threshold=decision_threshold, baseline_thresholds=cuts)
