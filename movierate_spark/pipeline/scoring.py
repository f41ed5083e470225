"""score: requests to a run date's partition of the scores table."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark import bundle as bundles
from movierate_spark import lake, requests, schemas, score
from movierate_spark.bundle import Bundle
from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.lake import Lake
from movierate_spark.pipeline.rows import feature_rows
from movierate_spark.progress import Reporter
from movierate_spark.tables import attempt_to_write, commit
from movierate_spark.times import CLOCK_TOLERANCE


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
