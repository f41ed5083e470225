"""A model's metrics with their intervals, alone and beside another model's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import reduce
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.evaluation import bootstrap
from movierate_spark.evaluation.metrics import METRICS, difference, metrics_by
from movierate_spark.evaluation.segments import MODEL, by_group, measure
from movierate_spark.evaluation.standard_errors import people_and_intervals
from movierate_spark.model.bundle import Bundle
from movierate_spark.progress import Progress
from movierate_spark.session import persisted
from movierate_spark.storage.documents import Measurement

AGAINST = "against"


def model_metrics(
    predicted: DataFrame, bundle: Bundle, theirs: DataFrame | None, settings: Settings, progress: Progress
) -> dict[str, Any]:
    """The bundle's metrics with intervals, and those of ``theirs``, the predictions of another bundle."""
    with progress.step("metrics"):
        metrics = measure(
            predicted,
            calibration=bundle.manifest.calibration,
            decision_threshold=bundle.manifest.decision_threshold,
            baselines=bundle.manifest.baselines,
        )
    with progress.step("intervals"):
        sides = {MODEL: for_metrics(predicted, bundle)} | ({} if theirs is None else {AGAINST: theirs})
        return _by_group(metrics, predicted, bundle) | _intervals(sides, metrics, settings)


def for_metrics(predicted: DataFrame, bundle: Bundle) -> DataFrame:
    """The columns for metrics: user_id, label, probability, decision_threshold."""
    decision_threshold = F.lit(bundle.manifest.decision_threshold).alias("decision_threshold")
    return predicted.select("user_id", "label", F.col("p_like").alias("probability"), decision_threshold)


def _intervals(sides: Mapping[str, DataFrame], metrics: Measurement, settings: Settings) -> dict[str, Any]:
    """Intervals of the metrics and, if two models are compared, of their differences."""
    of_models = [side.withColumn("model", F.lit(name)) for name, side in sides.items()]
    options = settings.evaluate
    of_all = reduce(DataFrame.unionByName, of_models)
    with persisted(of_all) if len(of_models) > 1 else nullcontext(of_all) as rows:
        resampled = bootstrap.resampled_metrics(rows, resamples=options.resamples, seed=options.seed)
        of_other = metrics_by(rows.where(F.col("model") == AGAINST), "model") if AGAINST in sides else []
    mine = resampled.get(MODEL, {name: np.array([]) for name in METRICS})
    intervals: dict[str, Any] = {
        "intervals": {
            name: bootstrap.interval(name, mine[name], point=metrics.metric(name)) for name in METRICS
        }
    }
    for theirs in of_other:
        differences = {name: difference(metrics.metric(name), theirs[name]) for name in METRICS}
        in_resamples = (
            {name: mine[name] - resampled[AGAINST][name] for name in METRICS} if resampled else mine
        )
        intervals[AGAINST] = {
            **{name: value for name, value in theirs.items() if name != "model"},
            "difference": differences,
            "difference_intervals": {
                name: bootstrap.interval(name, in_resamples[name], point=differences[name], signed=True)
                for name in METRICS
            },
        }
    return intervals


def _by_group(metrics: Measurement, predicted: DataFrame, bundle: Bundle) -> dict[str, Any]:
    """The metrics with the number of users, and with intervals for each segment and each cold start."""
    models = {MODEL: ("p_like", bundle.manifest.decision_threshold)}
    by_value = people_and_intervals(by_group(predicted, models), "scope", "value")
    content = metrics.content()
    segments = {
        scope: {value: figures | by_value[scope, value] for value, figures in groups.items()}
        for scope, groups in content["segments"].items()
    }
    cold_start = {
        value: each | by_value["cold_start", value] for value, each in content["cold_start"].items()
    }
    people = by_value["all", "all"]["people"]
    return content | {"people": people, "segments": segments, "cold_start": cold_start}
