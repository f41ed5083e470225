"""evaluate: a bundle's predictions for ratings it was not trained on, their metrics and a report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.errors import InputError, MovierateError
from movierate_spark.evaluation import bootstrap
from movierate_spark.evaluation.ablation import ablation
from movierate_spark.evaluation.histogram import score_histogram
from movierate_spark.evaluation.leakage import leakage_cost
from movierate_spark.evaluation.metrics import METRICS, difference, metrics_by
from movierate_spark.evaluation.segments import MODEL, by_group, measure, stacked
from movierate_spark.evaluation.standard_errors import people_and_intervals
from movierate_spark.features.rows import before
from movierate_spark.model.baselines import with_baselines
from movierate_spark.model.bundle import Bundle
from movierate_spark.model.scoring import rows_for, with_scores
from movierate_spark.progress import Progress
from movierate_spark.report import Report, evaluation_report
from movierate_spark.report.folder import REPORT_FILES, check_free, leave_report
from movierate_spark.session import persisted
from movierate_spark.storage.attempts import attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.documents import Measurement, Metrics
from movierate_spark.storage.files import replace_json
from movierate_spark.storage.folders import table_to_write
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.locations import Location
from movierate_spark.storage.opened_table import OpenedTable

AGAINST = "against"
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class EvaluationWindow:
    """The ratings to evaluate: made from ``since`` on and before ``until``.

    Only ratings before which the user has at least ``min_user_history`` others are used, in the order
    (rated_at, movie_id). ``allow_overlap`` allows ratings that the model was trained on.

    Raises:
        InputError: ``until`` is not after ``since``.
    """

    since: datetime
    until: datetime | None = None
    min_user_history: int = 0
    allow_overlap: bool = False

    def __post_init__(self) -> None:
        if self.until is not None and self.until <= self.since:
            raise InputError(
                f"{self.until.isoformat()} is not after the beginning, {self.since.isoformat()}",
                argument="until",
            )

    def described(self) -> dict[str, Any]:
        """The fields of ``metrics.json``; times in ISO 8601."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat() if self.until else None,
            "min_user_history": self.min_user_history,
        }


def evaluate_model(
    bundle: Bundle,
    lake: Lake,
    settings: Settings,
    progress: Progress,
    *,
    target: Location,
    window: EvaluationWindow,
    against: Bundle | None = None,
    with_leakage_cost: bool = False,
    with_ablation: bool = False,
) -> Metrics:
    """Evaluate a bundle, and ``against`` another one on the same rows; write predictions, report and metrics.

    The metrics are written last, with the version of the predictions table from which they were computed.

    Raises:
        InputError: there are no ratings to evaluate, a model was trained on some of them, the two models have
            different definitions of liked, or ``target`` has other content.
        MovierateError: the number of predictions written differs from the number evaluated.
        ConflictError: another run has published predictions meanwhile.
    """
    lake = before(lake, window.until)
    other = against
    check_free(target, {"metrics.json", PREDICTIONS, *REPORT_FILES})
    table = table_to_write(target / PREDICTIONS, "out", schemas.PREDICTIONS)
    overlap = _check_models(window, bundle, other)
    with persisted(predictions(lake, bundle, window)) as predicted:
        with progress.step(f"predict ratings from {window.since.isoformat()} on"):
            if not predicted.count():
                least = window.min_user_history
                of_whom = f" of users with at least {least} earlier ones" if least else ""
                raise InputError(
                    f"{window.since.isoformat()}: no ratings{of_whom} to evaluate in {lake.path}",
                    argument="since",
                )
        theirs = None if other is None else _for_metrics(predictions(lake, other, window), other)
        content = _metrics(predicted, bundle, theirs, settings, progress)
        if other is not None:
            content[AGAINST] |= {"model_version": other.version}
        if with_leakage_cost:
            content["leakage_cost"] = leakage_cost(lake, bundle, window.since, settings, progress)
        if with_ablation:
            content["ablation"] = ablation(lake, bundle, predicted, settings, progress)
        document = Metrics.new(**content, model_version=bundle.version, **window.described(), overlap=overlap)
        with progress.step(f"write {target}"):
            page = _page(document, predicted, bundle, settings)
            return _leave_evaluation(table, _predictions_table(predicted, bundle), document, page)


def _metrics(
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
        sides = {MODEL: _for_metrics(predicted, bundle)} | ({} if theirs is None else {AGAINST: theirs})
        return _by_group(metrics, predicted, bundle) | _intervals(sides, metrics, settings)


def _check_models(window: EvaluationWindow, bundle: Bundle, other: Bundle | None) -> bool:
    """Whether a model was trained on ratings of the window.

    Raises:
        InputError: one was, and the window doesn't allow it; or the models define liked differently.
    """
    overlap = _check_unseen(window, bundle)
    if other is not None:
        overlap |= _check_unseen(window, other)
        _check_same_label(bundle, other)
    return overlap


def _check_unseen(window: EvaluationWindow, bundle: Bundle) -> bool:
    overlap = window.since < bundle.training_end
    if overlap and not window.allow_overlap:
        raise InputError(
            f"{window.since.isoformat()}: the model in {bundle.path} has seen ratings up to"
            f" {bundle.training_end.isoformat()}; take a later time, train up to an earlier one, or allow"
            " overlap",
            argument="since",
        )
    return overlap


def _check_same_label(bundle: Bundle, other: Bundle) -> None:
    mine, theirs = (each.manifest.label.min_rating for each in (bundle, other))
    if mine != theirs:
        raise InputError(f"{other.path}: it calls {theirs:g} stars liked, {bundle.path} {mine:g}")


def predictions(lake: Lake, bundle: Bundle, window: EvaluationWindow) -> DataFrame:
    """The ratings of the window with label, attributes, history and the bundle's predictions."""
    rows = rows_for(bundle, lake)
    if window.min_user_history:
        rows = _with_user_history(rows, at_least=window.min_user_history)
    return with_scores(bundle, rows.where(F.col("at") >= F.lit(window.since)))


def _with_user_history(rows: DataFrame, *, at_least: int) -> DataFrame:
    order = Window.partitionBy("user_id").orderBy("at", "movie_id")
    earlier = rows.withColumn("earlier", F.row_number().over(order) - 1)
    return earlier.where(F.col("earlier") >= at_least).drop("earlier")


def _for_metrics(predicted: DataFrame, bundle: Bundle) -> DataFrame:
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


def _histogram(predicted: DataFrame, bundle: Bundle) -> pd.DataFrame:
    """The histogram of the probabilities of the model and of each baseline."""
    manifest = bundle.manifest
    rows = with_baselines(predicted, manifest.baselines)
    models = {MODEL: ("p_like", manifest.decision_threshold)} | {
        name: (name, baseline.decision_threshold) for name, baseline in manifest.baselines.items()
    }
    return score_histogram(stacked(rows, models), "model").toPandas().sort_values(["model", "first"])


def _page(document: Metrics, predicted: DataFrame, bundle: Bundle, settings: Settings) -> Report:
    return evaluation_report(
        document,
        bundle.manifest,
        histogram=_histogram(predicted, bundle),
        min_cell=settings.report.min_cell,
    )


def _predictions_table(predicted: DataFrame, bundle: Bundle) -> DataFrame:
    return predicted.select(
        "user_id",
        "movie_id",
        "at",
        "rating",
        F.col("label").cast("boolean").alias("liked"),
        "logit",
        "p_like",
        "predicted_liked",
        "user_known",
        "movie_known",
        F.lit(bundle.version).alias("model_version"),
    )


def _leave_evaluation(table: OpenedTable, rows: DataFrame, metrics: Metrics, page: Report) -> Metrics:
    """Publish the predictions, then the report, then the metrics that name the predictions' version."""
    target = table.path.parent
    with attempt_to_write(rows, table.path, schemas.PREDICTIONS) as attempt:
        if attempt.rows != metrics.rows:
            raise MovierateError(
                f"{table.path}: {attempt.rows} predictions written, {metrics.rows} measured: did the lake"
                " change?"
            )
        published = metrics.model_copy(update={"predictions_version": commit(attempt, to=table)})
        leave_report(target, page)
        replace_json(target / "metrics.json", published.content())
    return published
