"""The order of things: each job from its inputs to what it leaves. The only module that knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, cast

from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from movierate_spark import bundle as bundles
from movierate_spark import clean, evaluate, lake, requests, schemas, score, train, validate
from movierate_spark.bundle import Bundle
from movierate_spark.columns import is_liked
from movierate_spark.config import FeatureSettings, Settings
from movierate_spark.errors import InputError
from movierate_spark.features.history import heavy_cuts, with_history, with_priors
from movierate_spark.features.stages import FEATURES, feature_names, feature_pipeline, uses_month
from movierate_spark.join import with_attributes
from movierate_spark.lake import Lake
from movierate_spark.progress import Reporter
from movierate_spark.readers import TABLES, Delivery, find_delivery
from movierate_spark.split import TimeSplit, split_by_time, utc
from movierate_spark.tables import attempt_to_write, commit, replace_json

CLOCK_TOLERANCE = timedelta(days=1)


# ---- prepare ------------------------------------------------------------------------------------


def prepare(
    spark: SparkSession, settings: Settings, report: Reporter, *, source: Path, target: Path, format_name: str
) -> dict[str, Any]:
    """Three files to the lake; returns the ledger.

    Raises:
        InputError: the delivery can't be found, or too few of its rows can be accepted.
    """
    delivery = find_delivery(source, format_name=format_name, settings=settings.input)
    lake.check_free(target)
    with report.step(f"check {source} ({delivery.format.name})"):
        checked = {name: _checked(spark, delivery, name, settings) for name in delivery.paths}
        counts = {name: lake.row_counts(validate.count_by_rule(lines)) for name, lines in checked.items()}
    limit = settings.validate_.max_rejected_fraction
    for name, path in delivery.paths.items():
        lake.check_rejected(path, name, counts[name], max_fraction=limit)
    frames = _cleaned(spark, checked, settings, coded=delivery.format.name == "ml-1m")
    with report.step(f"write {target}"), lake.publishing(target, frames) as attempts:
        ledger = _ledger(spark, delivery, counts, attempts)
        lake.publish(target, attempts, ledger)
    return ledger


def _checked(spark: SparkSession, delivery: Delivery, name: str, settings: Settings) -> DataFrame:
    rules = validate.rules(
        name,
        scale=delivery.rating_scale,
        earliest=settings.validate_.rated_at_min,
        latest=datetime.now(UTC) + CLOCK_TOLERANCE,
    )
    return validate.with_rule(delivery.read(spark, name), rules)


def _cleaned(
    spark: SparkSession, checked: Mapping[str, DataFrame], settings: Settings, *, coded: bool
) -> dict[str, DataFrame]:
    parts = {name: validate.split_by_rule(name, lines) for name, lines in checked.items()}
    users = (
        clean.clean_users(parts["users"].valid, coded=coded, settings=settings.clean)
        if "users" in parts
        else spark.createDataFrame([], schemas.USERS)
    )
    return {
        "ratings": clean.clean_ratings(parts["ratings"].valid),
        "users": users,
        "movies": clean.clean_movies(parts["movies"].valid),
        "rejected": reduce(DataFrame.unionByName, (part.rejected for part in parts.values())),
    }


def _ledger(
    spark: SparkSession, delivery: Delivery, counts: Mapping[str, Any], attempts: Mapping[str, Any]
) -> dict[str, Any]:
    written = {
        name: spark.read.schema(schemas.LAKE[name]).parquet(str(attempts[name].folder)) for name in TABLES
    }
    nothing = lake.row_counts({})
    tables = {
        name: lake.with_superseded(counts.get(name, nothing), kept=attempts[name].rows) for name in TABLES
    }
    orphans = lake.count_orphans(**written, have_users="users" in delivery.paths)
    tables["ratings"] |= {"orphans": orphans, "unknown": {}}
    demographics = ("gender", "age_group", "occupation", "zip3")
    tables["users"] |= {"unknown": lake.unknown_counts(written["users"], demographics)}
    tables["movies"] |= {"unknown": lake.unknown_counts(written["movies"], ("year", "genres"))}
    return {"format": delivery.format.name, "tables": tables}


# ---- features -----------------------------------------------------------------------------------


def feature_rows(
    opened: Lake, settings: FeatureSettings, *, label_threshold: float, asked: DataFrame | None = None
) -> DataFrame:
    """Rows with history and attributes: every rating, or, where ``asked`` is given, its rows only.

    The one way from the lake to the feature pipeline. ``asked`` has user_id, movie_id and at.
    """
    timeline = opened.ratings.select("user_id", "movie_id", F.col("rated_at").alias("at"), "rating")
    if asked is not None:
        no_rating = F.lit(None).cast("double")
        timeline = timeline.withColumn("asked", F.lit(False)).unionByName(
            asked.select("user_id", "movie_id", "at", no_rating.alias("rating"), F.lit(True).alias("asked"))
        )
    cuts = heavy_cuts(timeline, settings)
    known_then = with_priors(timeline, threshold=label_threshold)
    described = with_attributes(known_then, opened.users, opened.movies)
    history = with_history(described, cuts, settings, threshold=label_threshold)
    rows = history if asked is None else history.where("asked").drop("asked")
    return rows.withColumns({f"{side}_known": F.col(f"{side}_count") > 0 for side in ("user", "movie")})


def labelled(rows: DataFrame, *, threshold: float) -> DataFrame:
    """Add ``label``: 1.0 for liked, 0.0 for not."""
    return rows.withColumn("label", is_liked(F.col("rating"), threshold=threshold).cast("double"))


# ---- train --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fitted:
    """A model that has not seen the test rows, and what was measured on those."""

    metrics: dict[str, Any]
    params: dict[str, float]
    threshold: float
    calibration: dict[str, Any]
    path: list[dict[str, Any]]
    pipeline: PipelineModel
    baselines: dict[str, Any]


def train_model(
    spark: SparkSession,
    settings: Settings,
    report: Reporter,
    *,
    source: Path,
    target: Path,
    until: datetime | None,
) -> Bundle:
    """Fit, choose and measure on ratings before ``until``; leave the bundle.

    Raises:
        InputError: no ratings before ``until``, ratings of one class only, or too few to part in time.
    """
    opened = lake.open_lake(spark, source)
    bundles.check_free(target)
    opened = _before(opened, until)
    first, end = _interval(opened, until)
    month = uses_month(settings.features.month, first, end)
    rows = labelled(
        feature_rows(opened, settings.features, label_threshold=settings.label.threshold),
        threshold=settings.label.threshold,
    )
    rows = train.laid_out(rows, partitions=settings.train.partitions).persist()
    try:
        with report.step("features of every rating as of its second"):
            _check_classes(rows, settings.label.threshold)
            split = split_by_time(
                rows,
                tune_fraction=settings.train.tune_fraction,
                test_fraction=settings.train.test_fraction,
                folds=settings.train.folds,
            )
        fitted = _fit_and_measure(rows, split, settings, report, with_month=month)
        pipeline, baselines, seen_until = fitted.pipeline, fitted.baselines, utc(split.test)
        if settings.train.refit:
            with report.step("fit once more on every rating"):
                pipeline, baselines = _refit(rows, fitted, settings, with_month=month)
            seen_until = end
        names = feature_names(pipeline.transform(rows.limit(0)).schema)
        rows_used = rows.where(F.col("at") < F.lit(seen_until)).count()
    finally:
        rows.unpersist()
    return bundles.save_bundle(
        target,
        pipeline,
        {
            "training": {
                "from": first.isoformat(),
                "until": seen_until.isoformat(),
                "rows": rows_used,
                "refit": settings.train.refit,
                "tune_from": utc(split.tune).isoformat(),
                "test_from": utc(split.test).isoformat(),
                "test_until": end.isoformat(),
            },
            "lake": {"path": str(source.resolve()), "versions": opened.ledger["versions"]},
            "label": settings.label.model_dump(),
            "features": settings.features.model_dump(),
            "with_month": month,
            "threshold": fitted.threshold,
            "threshold_maximises": settings.train.threshold,
            "calibration": fitted.calibration,
            "params": fitted.params,
            "cross_validation": fitted.path,
            "feature_names": names,
            "baselines": baselines,
            "metrics": fitted.metrics,
        },
    )


def _before(opened: Lake, until: datetime | None) -> Lake:
    if until is None:
        return opened
    return Lake(**{**vars(opened), "ratings": opened.ratings.where(F.col("rated_at") < F.lit(until))})


def _interval(opened: Lake, until: datetime | None) -> tuple[datetime, datetime]:
    second = F.unix_seconds("rated_at")
    found = opened.ratings.agg(F.min(second).alias("first"), F.max(second).alias("last")).head()
    if found is None or found["first"] is None:
        before = f" before {until.isoformat()}" if until else ""
        raise InputError(f"--lake {opened.path}: no ratings{before} to train on")
    return utc(found["first"]), until or utc(found["last"] + 1)


def _check_classes(rows: DataFrame, threshold: float) -> None:
    counted = rows.agg(F.sum("label").alias("liked"), F.count("label").alias("all")).head()
    liked, total = (int(counted["liked"]), int(counted["all"])) if counted else (0, 0)
    if liked in (0, total):
        raise InputError(
            f"{liked} of {total} ratings reach label.threshold {threshold:g}: a model needs liked and"
            " other ratings; check the scale, or set label.threshold"
        )


def _fit_and_measure(
    rows: DataFrame, split: TimeSplit, settings: Settings, report: Reporter, *, with_month: bool
) -> Fitted:
    second = F.unix_seconds("at")
    past = rows.where(second < split.tune)
    _check_classes(past, settings.label.threshold)
    features = feature_pipeline(settings.features, with_month=with_month).fit(past)
    blocks = features.transform(past).select(FEATURES, train.LABEL, split.block(second).alias(train.BLOCK))
    blocks = blocks.persist()
    options = settings.train
    fits = options.folds * len(options.reg_param) * len(options.elastic_net_param)
    try:
        with report.steps("cross-validation", fits) as advance:
            chosen = train.cross_validate(blocks, options, done=advance)
    finally:
        blocks.unpersist()
    pipeline = PipelineModel([*features.stages, chosen.model])
    with report.step("calibration, threshold and test metrics"):
        baselines = train.fit_baselines(past)
        unseen = score.with_logit(pipeline.transform(rows.where(second >= split.tune))).persist()
        tune, test = unseen.where(second < split.test), unseen.where(second >= split.test)
        calibration = train.fit_calibration(tune, method=options.calibration)
        tuned = score.with_probability(tune, calibration).withColumnRenamed("p_like", "probability")
        threshold = evaluate.best_threshold(tuned, maximise=options.threshold)
        metrics = measure(test, calibration=calibration, threshold=threshold, baselines=baselines)
        unseen.unpersist()
    return Fitted(
        metrics,
        chosen.params,
        threshold,
        calibration,
        chosen.path,
        pipeline,
        baselines,
    )


def _refit(
    rows: DataFrame, fitted: Fitted, settings: Settings, *, with_month: bool
) -> tuple[PipelineModel, dict[str, Any]]:
    features = feature_pipeline(settings.features, with_month=with_month).fit(rows)
    slots, slots_before = (
        feature_names(model.transform(rows).schema) for model in (features, fitted.pipeline)
    )
    start = train.start_of(cast("LogisticRegressionModel", fitted.pipeline.stages[-1]))
    estimator = train.logistic_regression(settings.train, **fitted.params)
    vectors = features.transform(rows).select(FEATURES, train.LABEL).persist()
    try:
        model = estimator.fit_from(start.for_slots(slots_before, slots), vectors)
    finally:
        vectors.unpersist()
    return PipelineModel([*features.stages, model]), train.fit_baselines(rows, start=fitted.baselines)


def measure(
    rows: DataFrame,
    *,
    calibration: Mapping[str, Any],
    threshold: float,
    baselines: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Metrics of labelled rows with ``logit``, attributes and history: see :func:`evaluate.evaluate`."""
    predictions = score.with_baselines(score.with_probability(rows, calibration), baselines)
    cuts = {name: spec["threshold"] for name, spec in baselines.items()}
    return evaluate.evaluate(predictions, threshold=threshold, baseline_thresholds=cuts)


# ---- evaluate -----------------------------------------------------------------------------------


def evaluate_model(
    spark: SparkSession,
    report: Reporter,
    *,
    source: Path,
    model: Path,
    target: Path,
    since: datetime,
    until: datetime | None,
    min_user_history: int,
    allow_overlap: bool,
) -> dict[str, Any]:
    """Measure a bundle on ratings from ``since`` on; leave the predictions and ``metrics.json``.

    Raises:
        InputError: nothing to measure, or ratings that the model has been trained on.
    """
    opened = lake.open_lake(spark, source)
    found = bundles.open_bundle(model)
    _check_evaluation_folder(target)
    overlap = since < found.training_end
    if overlap and not allow_overlap:
        raise InputError(
            f"--since {since.isoformat()}: the model has seen ratings up to {found.training_end.isoformat()};"
            " take a later time, train with --until, or say --allow-overlap"
        )
    manifest = found.manifest
    threshold, label_threshold = manifest["threshold"], manifest["label"]["threshold"]
    opened = _before(opened, until)
    rows = feature_rows(opened, found.features, label_threshold=label_threshold)
    rows = labelled(rows, threshold=label_threshold)
    if min_user_history:
        rows = _with_user_history(rows, at_least=min_user_history)
    rows = rows.where(F.col("at") >= F.lit(since))
    predicted = score.with_logit(found.pipeline().transform(rows)).persist()
    try:
        with report.step(f"predict ratings from {since.isoformat()} on"):
            if not predicted.count():
                raise InputError(f"--since {since.isoformat()}: no ratings to evaluate in {source}")
        with report.step("metrics"):
            metrics = measure(
                predicted,
                calibration=manifest["calibration"],
                threshold=threshold,
                baselines=manifest["baselines"],
            )
        document = {
            **metrics,
            "model_version": found.version,
            "since": since.isoformat(),
            "until": until.isoformat() if until else None,
            "min_user_history": min_user_history,
            "overlap": overlap,
        }
        with report.step(f"write {target}"):
            _leave_evaluation(target, _predictions(predicted, found), document)
    finally:
        predicted.unpersist()
    return document


def _check_evaluation_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise InputError(f"--out {path} is a file: name a folder")
    ours = {"metrics.json", "predictions", "report.html"}
    if path.is_dir() and (strangers := sorted({entry.name for entry in path.iterdir()} - ours)):
        raise InputError(f"--out {path} holds something else ({strangers[0]}): name a new folder")


def _with_user_history(rows: DataFrame, *, at_least: int) -> DataFrame:
    order = Window.partitionBy("user_id").orderBy("at", "movie_id")
    earlier = rows.withColumn("earlier", F.row_number().over(order) - 1)
    return earlier.where(F.col("earlier") >= at_least).drop("earlier")


def _predictions(predicted: DataFrame, found: Bundle) -> DataFrame:
    rows = score.with_probability(predicted, found.manifest["calibration"])
    return rows.select(
        "user_id",
        "movie_id",
        "at",
        "rating",
        F.col("label").cast("boolean").alias("liked"),
        "logit",
        "p_like",
        score.is_called_liked(F.col("p_like"), threshold=found.manifest["threshold"]).alias("predicted"),
        "user_known",
        "movie_known",
        F.lit(found.version).alias("model_version"),
    )


def _leave_evaluation(target: Path, predictions: DataFrame, document: Mapping[str, Any]) -> None:
    with attempt_to_write(predictions, target / "predictions", schemas.PREDICTIONS) as attempt:
        commit(attempt)
        replace_json(target / "metrics.json", document)


# ---- score --------------------------------------------------------------------------------------


def score_requests(
    spark: SparkSession,
    settings: Settings,
    report: Reporter,
    *,
    source: Path,
    model: Path,
    requested: Path,
    target: Path,
    run_date: date,
) -> dict[str, int]:
    """Score a day's requests into that date's partition; returns how many were read, scored, rejected.

    Raises:
        InputError: the lake, the bundle or the requests can't be read, or ``target`` is something else.
    """
    opened = lake.open_lake(spark, source)
    found = bundles.open_bundle(model)
    _check_scores_folder(target)
    lines = requests.with_rule(
        requests.read_requests(spark, requested),
        earliest=settings.validate_.rated_at_min,
        latest=datetime.now(UTC) + CLOCK_TOLERANCE,
    )
    scored = _scored(opened, found, requests.readable(lines, run_date=run_date), run_date)
    rejected = requests.unreadable(lines, run_date=run_date)
    with (
        report.step(f"score {requested}"),
        attempt_to_write(rejected, target / "_rejected", schemas.REJECTED_REQUESTS, run_date=run_date) as bad,
        attempt_to_write(scored, target, schemas.SCORES, run_date=run_date) as good,
    ):
        commit(bad)
        commit(good)
    return {"read": good.rows + bad.rows, "scored": good.rows, "rejected": bad.rows}


def _check_scores_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise InputError(f"--scores {path} is a file: name a folder")
    if path.is_dir() and any(path.iterdir()) and not (path / "_delta_log").is_dir():
        raise InputError(f"--scores {path} holds something that is no scores table: name a new folder")


def _scored(opened: Lake, found: Bundle, asked: DataFrame, run_date: date) -> DataFrame:
    manifest = found.manifest
    label_threshold = manifest["label"]["threshold"]
    rows = feature_rows(opened, found.features, label_threshold=label_threshold, asked=asked)
    logits = score.with_logit(found.pipeline().transform(rows))
    no_reasons = F.array().cast(schemas.SCORES["reasons"].dataType)
    return score.with_probability(logits, manifest["calibration"]).select(
        "user_id",
        "movie_id",
        "at",
        "logit",
        "p_like",
        score.is_called_liked(F.col("p_like"), threshold=manifest["threshold"]).alias("liked"),
        "user_known",
        "movie_known",
        no_reasons.alias("reasons"),
        F.lit(found.version).alias("model_version"),
        F.lit(run_date).alias("run_date"),
    )
