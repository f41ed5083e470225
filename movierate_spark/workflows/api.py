"""What a notebook calls: each job as one call that prints nothing, and takes paths and times as text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from movierate_spark import schemas
from movierate_spark.config import Settings, load_settings
from movierate_spark.model.bundle import Bundle, open_bundle
from movierate_spark.progress import Progress, plain_console
from movierate_spark.session import build_session, local_properties
from movierate_spark.storage.documents import Metrics
from movierate_spark.simulation.files import simulate as simulate_files
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.lake import open_lake as open_lake_at
from movierate_spark.storage.tables import read_table
from movierate_spark.times import parse_time
from movierate_spark.workflows.evaluate import EvaluationWindow, evaluate_model
from movierate_spark.workflows.explore import explore_lake
from movierate_spark.workflows.prepare import Preparation, prepare_lake
from movierate_spark.workflows.recommend import recommend_movies
from movierate_spark.workflows.train import train_model

StrPath = str | os.PathLike[str]
Time = str | int | datetime


def local_session(
    *, cores: str = "*", driver_memory: str = "4g", properties: Mapping[str, str] | None = None
) -> SparkSession:
    """Spark on this machine, with the settings that the jobs use; the session that runs already, if one does.

    ``cores`` is a number or ``*`` for all of them; ``properties`` are any of Spark's.
    """
    machine = local_properties(cores=cores, driver_memory=driver_memory)
    return build_session("movierate notebook", machine | dict(properties or {}))


def simulate(
    spark: SparkSession, out: StrPath, *, ratings: int = 100_000, seed: int = 1, re_ratings: float = 0.0
) -> dict[str, Any]:
    """Make ratings, users and movies in the folder ``out``, and return the truth that was planted in them.

    Another ``seed`` gives other files; ``re_ratings`` is the share of the ratings, at most, that are of a
    movie which the user has rated before. ``best_auc`` of the truth is the best that any model could reach.

    Raises:
        InputError: a number is out of range, or ``out`` holds something else.
    """
    return simulate_files(spark, Path(out), ratings=ratings, seed=seed, re_ratings=re_ratings)


def open_lake(spark: SparkSession, path: StrPath) -> Lake:
    """The lake at ``path``, as its ledger names it now: later changes do not reach it.

    Raises:
        InputError: no lake lies there, or its ledger can't be read.
    """
    return open_lake_at(spark, Path(path))


def prepare(
    spark: SparkSession,
    source: StrPath,
    lake: StrPath,
    *,
    format_name: str = "auto",
    expect_rows: Mapping[str, int] | None = None,
    force: bool = False,
    settings: Settings | None = None,
) -> Lake:
    """Turn the three files in the folder ``source`` into a lake at ``lake``, and open it.

    ``format_name`` is ml-1m, ml-100k, csv or parquet, else told by the files' names. ``expect_rows`` says how
    many rows tables must have. The same files are prepared once, unless by ``force``.

    Raises:
        InputError: the files can't be found, are of another size, or too few of their rows can be accepted.
    """
    delivered = Preparation(Path(source), format_name, dict(expect_rows or {}), force)
    chosen = settings or load_settings()
    prepare_lake(spark, chosen, _silent(), delivered=delivered, target=Path(lake))
    return open_lake(spark, lake)


def explore(lake: Lake, out: StrPath = "exploration", *, settings: Settings | None = None) -> Path:
    """Leave a report of what is in the lake in the folder ``out``; the path of its page.

    Raises:
        InputError: fewer people than a report may speak of, or ``out`` holds something else.
    """
    explore_lake(lake, settings or load_settings(), _silent(), target=Path(out))
    return Path(out) / "report.html"


def train(
    lake: Lake,
    model: StrPath = "model",
    *,
    until: Time | None = None,
    settings: Settings | None = None,
) -> Bundle:
    """Fit, choose and measure the model on the ratings before ``until``, and leave its bundle in ``model``.

    ``until`` is a time as epoch seconds, ISO 8601 or datetime (UTC where it names no zone); None takes all.

    Raises:
        InputError: no ratings before ``until``, ratings of one class only, or too few to part in time.
    """
    end = _time(until, "until")
    return train_model(lake, settings or load_settings(), _silent(), target=Path(model), until=end)


def load_bundle(path: StrPath) -> Bundle:
    """The bundle at ``path``, checked before anything in it is loaded.

    Raises:
        InputError: no bundle lies there, or it is not what its manifest says.
    """
    return open_bundle(Path(path))


def evaluate(
    bundle: Bundle,
    lake: Lake,
    out: StrPath = "evaluation",
    *,
    since: Time,
    until: Time | None = None,
    min_user_history: int = 0,
    allow_overlap: bool = False,
    against: Bundle | None = None,
    settings: Settings | None = None,
) -> Metrics:
    """Measure the bundle on ratings from ``since`` on; the metrics, which also lie in ``out`` with a report.

    ``against`` is another bundle, measured on the same ratings. The other options are those of the command.

    Raises:
        InputError: no such ratings, or some that the model was trained on (unless ``allow_overlap``).
    """
    start = _time(since, "since")
    window = EvaluationWindow(start, _time(until, "until"), min_user_history, allow_overlap)
    chosen = settings or load_settings()
    return evaluate_model(bundle, lake, chosen, _silent(), target=Path(out), window=window, against=against)


def recommend(
    bundle: Bundle,
    lake: Lake,
    out: StrPath = "recommendations",
    *,
    top: int = 10,
    at: Time | None = None,
    settings: Settings | None = None,
) -> DataFrame:
    """Each user's ``top`` best movies that he has not rated as of ``at``: the table that is left in ``out``.

    A row is a movie of a user: user_id, rank (1 is best), movie_id, title, logit, p_like, at, model_version.
    ``at`` is the second after the last rating where it is None.

    Raises:
        InputError: ``out`` holds something else, or no movie may be recommended.
    """
    moment, chosen = _time(at, "at"), settings or load_settings()
    recommend_movies(bundle, lake, chosen, _silent(), target=Path(out), count=top, at=moment)
    return read_table(lake.ratings.sparkSession, Path(out), schemas.RECOMMENDATIONS)


def _silent() -> Progress:
    return Progress(plain_console(quiet=True))


def _time(value: Time | None, name: str) -> Any:
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return parse_time(text, name, now=datetime.now(UTC))
