"""Every job in turn on simulated data, in one session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from movierate_spark import workflows as pipeline
from movierate_spark.config import Settings
from movierate_spark.progress import Reporter
from movierate_spark.simulation.files import simulate
from movierate_spark.storage.folders import check_folder
from movierate_spark.times import utc

RATINGS = 100_000
SEED = 1
PARTS = ("input", "lake", "exploration", "model", "scores", "evaluation", "requests.csv")


@dataclass(frozen=True)
class Demo:
    """What the demo left and found."""

    out: Path
    truth: dict[str, Any]
    ledger: dict[str, Any]
    metrics: dict[str, Any]
    scored: Sequence[pipeline.Scored]


def run(spark: SparkSession, settings: Settings, report: Reporter, out: Path) -> Demo:
    """Simulate, prepare, train, evaluate and score below ``out``.

    Raises:
        InputError: ``out`` holds something that is no demo's.
    """
    check_folder(out, "--out", PARTS)
    with report.step(f"simulate {RATINGS} ratings"):
        truth = simulate(spark, out / "input", ratings=RATINGS, seed=SEED)
    lake, model = out / "lake", out / "model"
    delivered = pipeline.Delivered(out / "input")
    prepared = pipeline.prepare(spark, settings, report, delivered=delivered, target=lake)
    pipeline.explore_lake(spark, settings, report, source=lake, target=out / "exploration")
    since = utc(truth["last_tenth"]["since"])
    pipeline.train_model(spark, settings, report, source=lake, target=model, until=since)
    metrics = pipeline.evaluate_model(
        spark,
        settings,
        report,
        source=lake,
        model=model,
        target=out / "evaluation",
        measured=pipeline.Measured(since=since),
    )
    requests = out / "requests.csv"
    requests.write_text(_requests(), encoding="utf-8")
    asked = pipeline.Asked(str(requests), [(since + timedelta(days=1)).date()], settings.score.reasons)
    scored = pipeline.score_requests(
        spark, settings, report, source=lake, model=model, target=out / "scores", asked=asked
    )
    return Demo(out, truth, prepared.ledger, metrics, list(scored))


def _requests() -> str:
    """Some users and movies, one of each that nobody has heard of."""
    users, movies = [*range(1, 101), 10_000_000], [*range(1, 51), 10_000_000]
    return "user_id,movie_id\n" + "".join(f"{user},{movie}\n" for user in users for movie in movies)
