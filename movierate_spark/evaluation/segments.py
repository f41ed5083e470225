"""Metrics of a model overall, by segment and for cold starts, and of the baselines on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import DEMOGRAPHICS, UNKNOWN, genres_or_unknown
from movierate_spark.evaluation.metrics import METRICS, metrics_by
from movierate_spark.model.baselines import with_baselines
from movierate_spark.model.calibration import with_probability
from movierate_spark.storage.documents import Baseline, Calibration, Figures, Measurement

SEGMENTS = (*DEMOGRAPHICS, "genre")
MODEL = "model"
Models = Mapping[str, tuple[str, float]]
"""For each model's name, the column of its probability and its threshold."""


def measure(
    rows: DataFrame,
    *,
    calibration: Calibration,
    decision_threshold: float,
    baselines: Mapping[str, Baseline],
) -> Measurement:
    """Metrics of labelled rows with ``logit``, attributes and history: see :func:`evaluate`."""
    predictions = with_baselines(with_probability(rows, calibration), baselines)
    thresholds = {name: baseline.decision_threshold for name, baseline in baselines.items()}
    return evaluate(predictions, decision_threshold=decision_threshold, baseline_thresholds=thresholds)


def evaluate(
    predictions: DataFrame, *, decision_threshold: float, baseline_thresholds: Mapping[str, float]
) -> Measurement:
    """Metrics of the model overall, by segment and for cold starts, and of the baselines on the same rows.

    ``predictions`` have a row per rating: ``user_id``, ``label``, ``p_like``, the attributes of the segments,
    ``user_known``, ``movie_known``, and a probability column named after each baseline. Unknown attributes
    are the segment "unknown". A movie counts in each of its genres. Baselines have no metrics by segment.
    """
    models = {MODEL: ("p_like", decision_threshold)}
    models |= {name: (name, threshold) for name, threshold in baseline_thresholds.items()}
    groups = metrics_by(by_group(predictions, models), "scope", "value", "model")
    by_key = {
        (group["scope"], group["value"], group["model"]): {
            name: x for name, x in group.items() if name not in ("scope", "value", "model")
        }
        for group in groups
    }
    segments = {
        segment: {value: x for (scope, value, _), x in by_key.items() if scope == segment}
        for segment in SEGMENTS
    }
    cold_start = {
        value: {
            **by_key["cold_start", value, MODEL],
            "baselines": {name: by_key["cold_start", value, name] for name in baseline_thresholds},
        }
        for scope, value, model in by_key
        if scope == "cold_start" and model == MODEL
    }
    baselines = {name: by_key["all", "all", name] for name in baseline_thresholds}
    groups_of_model = {"segments": segments, "baselines": baselines, "cold_start": cold_start}
    return Measurement.model_validate(by_key["all", "all", MODEL] | groups_of_model)


def by_group(predictions: DataFrame, models: Models) -> DataFrame:
    """A row per prediction, model and group of the prediction.

    The columns are ``user_id, label, scope, value, model, probability, decision_threshold``. Only
    :data:`MODEL` has groups by segment.
    """
    state = F.concat_ws(
        "/",
        F.when(F.col("user_known"), "known user").otherwise("new user"),
        F.when(F.col("movie_known"), "known movie").otherwise("new movie"),
    )
    groups: list[Column] = []
    for model, (column, decision_threshold) in models.items():
        groups.append(_group("all", F.lit("all"), model, column, decision_threshold))
        groups.append(_group("cold_start", state, model, column, decision_threshold))
    column, decision_threshold = models[MODEL]
    groups += [
        _group(segment, F.coalesce(F.col(segment), F.lit(UNKNOWN)), MODEL, column, decision_threshold)
        for segment in DEMOGRAPHICS
    ]
    by_genre = F.transform(
        genres_or_unknown(), lambda genre: _group("genre", genre, MODEL, column, decision_threshold)
    )
    exploded = F.explode(F.concat(F.array(*groups), by_genre)).alias("group")
    return predictions.select("user_id", "label", exploded).select("user_id", "label", "group.*")


def _group(scope: str, value: Column, model: str, column: str, decision_threshold: float) -> Column:
    of_model = _of_model(model, column, decision_threshold)
    return F.struct(F.lit(scope).alias("scope"), value.alias("value"), *of_model)


def stacked(predictions: DataFrame, models: Models) -> DataFrame:
    """A row per prediction and model: ``user_id, label, model, probability, decision_threshold``."""
    each = F.array(*(F.struct(*_of_model(name, *model)) for name, model in models.items()))
    exploded = F.explode(each).alias("each")
    return predictions.select("user_id", "label", exploded).select("user_id", "label", "each.*")


def _of_model(model: str, column: str, decision_threshold: float) -> list[Column]:
    return [
        F.lit(model).alias("model"),
        F.col(column).alias("probability"),
        F.lit(float(decision_threshold)).alias("decision_threshold"),
    ]


def comparison(metrics: Measurement, names: Sequence[str] = METRICS) -> dict[str, list[float | None]]:
    """The metrics ``names`` of the model and of each baseline, for a table."""
    sources: dict[str, Figures] = {MODEL: metrics, **metrics.baselines}
    return {label: [source.metric(name) for name in names] for label, source in sources.items()}
