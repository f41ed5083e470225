"""demo: the jobs that leave something, one after the other on simulated data, in one session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pyspark.sql import SparkSession

from movierate_spark.config import Settings
from movierate_spark.evaluation.window import EvaluationWindow
from movierate_spark.inputs.request_deliveries import RunDateOutcome, ScoringRequest
from movierate_spark.progress import Progress
from movierate_spark.simulation.files import simulate
from movierate_spark.storage.documents import Ledger, Metrics
from movierate_spark.storage.files import replace_text
from movierate_spark.storage.folders import check_folder
from movierate_spark.storage.lake import open_lake
from movierate_spark.storage.locations import Location
from movierate_spark.times import utc
from movierate_spark.workflows.evaluate import evaluate_model
from movierate_spark.workflows.explore import explore_lake
from movierate_spark.workflows.prepare import Preparation, prepare_lake
from movierate_spark.workflows.recommend import recommend_movies
from movierate_spark.workflows.score import score_requests
from movierate_spark.workflows.train import train_model

RATINGS = 100_000
SEED = 1
TOP = 10
PARTS = ("input", "lake", "exploration", "model", "evaluation", "requests.csv", "scores", "recommendations")


@dataclass(frozen=True)
class Demo:
    """The results of the demo; its output is in the folder ``out``."""

    out: Location
    truth: dict[str, Any]
    ledger: Ledger
    metrics: Metrics
    scored: Sequence[RunDateOutcome]


def run(spark: SparkSession, settings: Settings, progress: Progress, out: Location) -> Demo:
    """Simulate, prepare, explore, train, evaluate, score and recommend below ``out``.

    Raises:
        InputError: ``out`` holds anything but a demo.
    """
    check_folder(out, "out", PARTS)
    with progress.step(f"simulate {RATINGS} ratings"):
        truth = simulate(spark, out / "input", ratings=RATINGS, seed=SEED)
    preparation = Preparation(out / "input")
    prepared = prepare_lake(spark, settings, progress, preparation=preparation, target=out / "lake")
    lake = open_lake(spark, out / "lake")
    explore_lake(lake, settings, progress, target=out / "exploration")
    since = utc(truth["last_tenth"]["since"])
    bundle = train_model(lake, settings, progress, target=out / "model", until=since)
    window = EvaluationWindow(since=since)
    metrics = evaluate_model(bundle, lake, settings, progress, target=out / "evaluation", window=window)
    requests = out / "requests.csv"
    replace_text(requests, _requests())
    run_dates = [(since + timedelta(days=1)).date()]
    request = ScoringRequest(str(requests), run_dates, settings.score.reasons)
    outcomes = list(score_requests(bundle, lake, settings, progress, target=out / "scores", request=request))
    best = out / "recommendations"
    recommend_movies(bundle, lake, settings, progress, target=best, count=TOP, at=None)
    return Demo(out, truth, prepared.ledger, metrics, outcomes)


def _requests() -> str:
    """Pairs of 100 users and 50 movies, and of one unknown user and one unknown movie."""
    users, movies = [*range(1, 101), 10_000_000], [*range(1, 51), 10_000_000]
    return "user_id,movie_id\n" + "".join(f"{user},{movie}\n" for user in users for movie in movies)
