"""train: from a lake to a bundle."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL
from movierate_spark.config import Settings
from movierate_spark.evaluation.segments import measure
from movierate_spark.evaluation.threshold import best_threshold
from movierate_spark.features.names import FEATURES, feature_names
from movierate_spark.features.pipeline import feature_pipeline, uses_month
from movierate_spark.features.rows import (
    before,
)
from movierate_spark.model.baselines import fit_baselines
from movierate_spark.model.bundle import Bundle, check_model_folder, save_bundle
from movierate_spark.model.calibration import fit_calibration, with_probability
from movierate_spark.model.coefficients import coefficient_table
from movierate_spark.model.cross_validation import FOLD_PART, cross_validate
from movierate_spark.model.logistic_regression import logistic_regression, start_of
from movierate_spark.model.scoring import with_logit
from movierate_spark.model.time_split import TimeSplit, check_sample
from movierate_spark.model.training_rows import check_classes, training_log, training_rows
from movierate_spark.progress import Progress
from movierate_spark.session import persisted
from movierate_spark.storage.documents import Baseline, Calibration, Measurement
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.locations import Location
from movierate_spark.times import utc


@dataclass(frozen=True)
class FittedModel:
    """A fitted model, and the metrics on test rows of the model that had not seen them.

    ``path`` has an entry per penalty tried. ``coefficients`` are empty if the model will be fitted again.
    """

    metrics: Measurement
    params: dict[str, float]
    decision_threshold: float
    calibration: Calibration
    path: list[dict[str, Any]]
    pipeline: PipelineModel
    baselines: dict[str, Baseline]
    coefficients: list[dict[str, Any]]


def train_model(
    lake: Lake, settings: Settings, progress: Progress, *, target: Location, until: datetime | None
) -> Bundle:
    """Train and measure a model on the ratings before ``until`` (None: all), and save it to ``target``.

    Raises:
        InputError: there are no ratings before ``until``, they are of one class only, or they are too few to
            split by time; or ``target`` holds other files.
    """
    check_model_folder(target)
    lake = before(lake, until)
    log = training_log(lake, until)
    month = uses_month(settings.features.month, log.first, log.last)
    with ExitStack() as stack:
        source = stack.enter_context(training_rows(lake, settings, progress, log=log))
        split, rows = source.split, stack.enter_context(persisted(source.measured()))
        fitted = _fit_and_measure(rows, split, settings, progress, with_month=month)
        published, seen_until, tables = fitted, utc(split.test), source.tables_before_tune()
        if settings.train.refit:
            tables = source.tables
            with progress.step("fit again with the tuning and test rows"):
                every = stack.enter_context(persisted(source.every()))
                published, seen_until = _refit(every, fitted, settings, with_month=month), log.end
        fitted_until = seen_until if settings.train.refit else utc(split.tune)
        rows_used = rows.where(F.col("at") < F.lit(fitted_until)).count()
    training = {
        "from": log.first.isoformat(),
        "until": seen_until.isoformat(),
        "rows": rows_used,
        "ratings": log.ratings,
        "user_fraction": source.user_fraction,
        "refit": settings.train.refit,
        "tune_from": utc(split.tune).isoformat(),
        "test_from": utc(split.test).isoformat(),
        "test_until": log.end.isoformat(),
    }
    made_of = {
        "training": training,
        "lake": {"path": str(lake.path.resolve()), "versions": lake.ledger.versions},
        "with_month": month,
        "signature": {name: kind for name, kind in rows.dtypes if name not in ("rating", LABEL)},
    }
    content = made_of | _described(fitted, published, settings)
    return save_bundle(target, published.pipeline, content, tables=tables)


def _described(fitted: FittedModel, published: FittedModel, settings: Settings) -> dict[str, Any]:
    """Entries of ``bundle.json``: the published model, and the metrics of the measured one."""
    return {
        "label": settings.label,
        "features": settings.features,
        "decision_threshold": fitted.decision_threshold,
        "threshold_metric": settings.train.threshold_metric,
        "calibration": fitted.calibration,
        "params": fitted.params,
        "cross_validation": fitted.path,
        "feature_names": [each["feature"] for each in published.coefficients],
        "coefficients": published.coefficients,
        "baselines": published.baselines,
        "metrics": fitted.metrics,
    }


def _fit_and_measure(
    rows: DataFrame, split: TimeSplit, settings: Settings, progress: Progress, *, with_month: bool
) -> FittedModel:
    second = F.unix_seconds("at")
    check_sample(rows, split)
    past = rows.where(second < split.tune)
    past_rows = check_classes(past, settings.label.min_rating)
    features = feature_pipeline(settings.features, with_month=with_month).fit(past)
    vectors = features.transform(past).select(FEATURES, LABEL, split.fold_part(second).alias(FOLD_PART))
    options = settings.train
    fits = options.folds * len(options.reg_param) * len(options.elastic_net_param)
    with persisted(vectors) as vectors:
        with progress.steps("cross-validation", fits) as advance:
            selected = cross_validate(vectors, options, expected=past_rows, done=advance)
        names = feature_names(vectors.schema)
        # A refit computes its own.
        coefficients = (
            [] if options.refit else coefficient_table(vectors, selected.model, names, selected.params)
        )
    pipeline = PipelineModel([*features.stages, selected.model])
    unseen = with_logit(pipeline.transform(rows.where(second >= split.tune)))
    with progress.step("calibration, threshold and test metrics"), persisted(unseen) as unseen:
        baselines = fit_baselines(past)
        tune, test = unseen.where(second < split.test), unseen.where(second >= split.test)
        calibration = fit_calibration(tune, method=options.calibration)
        tuned = with_probability(tune, calibration).withColumnRenamed("p_like", "probability")
        decision_threshold = best_threshold(tuned, maximise=options.threshold_metric)
        metrics = measure(
            test, calibration=calibration, decision_threshold=decision_threshold, baselines=baselines
        )
    return FittedModel(
        metrics,
        selected.params,
        decision_threshold,
        calibration,
        selected.path,
        pipeline,
        baselines,
        coefficients,
    )


def _refit(rows: DataFrame, fitted: FittedModel, settings: Settings, *, with_month: bool) -> FittedModel:
    """The chosen model fitted on all rows; metrics, threshold and calibration stay as measured."""
    features = feature_pipeline(settings.features, with_month=with_month).fit(rows)
    slots, slots_before = (
        feature_names(model.transform(rows).schema) for model in (features, fitted.pipeline)
    )
    start = start_of(cast("LogisticRegressionModel", fitted.pipeline.stages[-1]))
    estimator = logistic_regression(settings.train, **fitted.params)
    with persisted(features.transform(rows).select(FEATURES, LABEL)) as vectors:
        model = estimator.fit_from(start.for_slots(slots_before, slots), vectors)
        coefficients = coefficient_table(vectors, model, slots, fitted.params)
    return replace(
        fitted,
        pipeline=PipelineModel([*features.stages, model]),
        baselines=fit_baselines(rows, start=fitted.baselines),
        coefficients=coefficients,
    )
