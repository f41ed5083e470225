"""The Python API: each job as one function that prints nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from movierate_spark import schemas
from movierate_spark.config import Settings, load_settings
from movierate_spark.evaluation.window import EvaluationWindow
from movierate_spark.model.bundle import Bundle, open_bundle
from movierate_spark.progress import Progress, plain_console
from movierate_spark.session import build_session, check_time_zone, local_properties
from movierate_spark.simulation.files import simulate as simulate_files
from movierate_spark.storage.documents import Metrics
from movierate_spark.storage.folders import lake_to_write
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.lake import open_lake as open_lake_at
from movierate_spark.storage.lake import undo as undo_delivery
from movierate_spark.storage.locations import Location, RemotePath, location_of
from movierate_spark.storage.tables import read_table
from movierate_spark.times import parse_time
from movierate_spark.workflows.add import add_delivery
from movierate_spark.workflows.evaluate import evaluate_model
from movierate_spark.workflows.explore import explore_lake
from movierate_spark.workflows.prepare import Preparation, prepare_lake
from movierate_spark.workflows.recommend import recommend_movies
from movierate_spark.workflows.train import train_model

StrPath = str | os.PathLike[str] | RemotePath
"""A path of this machine, or a URI such as ``s3a://bucket/lake``."""
Time = str | int | datetime


def local_session(
    *, cores: str = "*", driver_memory: str = "4g", properties: Mapping[str, str] | None = None
) -> SparkSession:
    """A Spark session on this machine with the Spark properties of the jobs; an existing session is reused.

    ``cores`` is a number, or ``*`` for all cores. ``properties`` are further Spark properties.
    """
    defaults = local_properties(cores=cores, driver_memory=driver_memory) | load_settings().spark.properties
    return build_session("movierate notebook", defaults | dict(properties or {}))


def simulate(
    spark: SparkSession, out: StrPath, *, ratings: int = 100_000, seed: int = 1, re_ratings: float = 0.0
) -> dict[str, Any]:
    """Write simulated ratings, users and movies to the folder ``out``; returns the planted truth.

    Equal arguments give equal files. At most the share ``re_ratings`` of the ratings are of a movie that the
    user has rated before. ``best_auc`` in the truth is the best AUC that any model could reach.

    Raises:
        InputError: a number is out of range, or ``out`` holds anything but a simulation.
    """
    check_time_zone(spark)
    return simulate_files(spark, location_of(out), ratings=ratings, seed=seed, re_ratings=re_ratings)


def open_lake(spark: SparkSession, path: StrPath) -> Lake:
    """Open the lake at ``path`` in the versions that its ledger names; later changes have no effect on it.

    Raises:
        InputError: there is no lake at ``path``, or its ledger or a table can't be read; or the session's
            time zone is not UTC.
    """
    return open_lake_at(spark, location_of(path))


def prepare(
    spark: SparkSession,
    source: StrPath,
    lake: StrPath,
    *,
    format_name: str = "auto",
    add: bool = False,
    expect_rows: Mapping[str, int] | None = None,
    force: bool = False,
    settings: Settings | None = None,
) -> Lake:
    """Turn the three files in the folder ``source`` into a lake at ``lake``, and open it.

    ``format_name`` is ml-1m, ml-100k, csv, parquet, or auto (recognised by the file names). With ``add``, the
    files hold what is new, and are added to the lake; any of the three may be missing. ``expect_rows`` maps
    tables to their expected number of rows. A delivery that is in the lake already, with the same settings,
    is not prepared again, unless ``force`` is given.

    Raises:
        InputError: the files can't be found or read, have another number of rows, or too many are
            rejected; or ``lake`` holds other files.
    """
    check_time_zone(spark)
    preparation = Preparation(location_of(source), format_name, dict(expect_rows or {}), force)
    work = add_delivery if add else prepare_lake
    work(spark, settings or load_settings(), _silent(), preparation=preparation, target=location_of(lake))
    return open_lake(spark, lake)


def undo(spark: SparkSession, lake: StrPath) -> Lake:
    """Go back to the lake before its newest delivery, and open it. Other deliveries can follow it.

    Raises:
        InputError: there is no lake, nothing was there before, or ``vacuum`` has removed its files.
        ConflictError: another run has published a lake meanwhile.
    """
    check_time_zone(spark)
    target = location_of(lake)
    undo_delivery(target, state=lake_to_write(target))
    return open_lake(spark, lake)


def explore(lake: Lake, out: StrPath = "exploration", *, settings: Settings | None = None) -> Location:
    """Write a report about the lake's ratings to the folder ``out``; returns the path of its page.

    Raises:
        InputError: the ratings are by fewer people than ``report.min_cell``, or ``out`` holds other files.
    """
    explore_lake(lake, settings or load_settings(), _silent(), target=location_of(out))
    return location_of(out) / "report.html"


def train(
    lake: Lake,
    model: StrPath = "model",
    *,
    until: Time | None = None,
    settings: Settings | None = None,
) -> Bundle:
    """Train and measure a model on the ratings before ``until``, and save its bundle to ``model``.

    ``until`` is epoch seconds, ISO 8601 text or a datetime (UTC if it has no time zone); None means all
    ratings.

    Raises:
        InputError: there are no ratings before ``until``, they are of one class only, or they are too few to
            split by time; or ``until`` is in the future, or ``model`` holds other files.
    """
    end = _time(until, "until")
    return train_model(lake, settings or load_settings(), _silent(), target=location_of(model), until=end)


def load_bundle(path: StrPath) -> Bundle:
    """Open the bundle at ``path``. It is checked before anything in it is loaded.

    Raises:
        InputError: there is no bundle at ``path``, or its files differ from its manifest.
    """
    return open_bundle(location_of(path))


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
    leakage_cost: bool = False,
    ablate: bool = False,
    settings: Settings | None = None,
) -> Metrics:
    """Measure the bundle on the ratings from ``since`` to before ``until``; returns the metrics.

    The metrics, the predictions and a report are written to ``out``. ``against`` is a second bundle, measured
    on the same ratings. The other options are those of the command.

    Raises:
        InputError: there are no such ratings, or the model was trained on some of them (unless
            ``allow_overlap``).
    """
    start = _time(since, "since")
    window = EvaluationWindow(start, _time(until, "until"), min_user_history, allow_overlap)
    return evaluate_model(
        bundle,
        lake,
        settings or load_settings(),
        _silent(),
        target=location_of(out),
        window=window,
        against=against,
        with_leakage_cost=leakage_cost,
        with_ablation=ablate,
    )


def recommend(
    bundle: Bundle,
    lake: Lake,
    out: StrPath = "recommendations",
    *,
    top: int = 10,
    at: Time | None = None,
    force: bool = False,
    settings: Settings | None = None,
) -> DataFrame:
    """Write each user's ``top`` best movies not rated as of ``at`` to the table ``out``; returns the table.

    There is one row per user and movie: user_id, rank (1 is best), movie_id, title, logit, p_like, at,
    model_version. If ``at`` is None, it is the second after the last rating. A table that was made from the
    same inputs stays as it is, unless ``force`` is given.

    Raises:
        InputError: ``top`` is less than 1, ``out`` holds other files, or the settings or ``at`` leave no
            movie to recommend.
    """
    time, target = _time(at, "at"), location_of(out)
    recommend_movies(
        bundle, lake, settings or load_settings(), _silent(), target=target, count=top, at=time, force=force
    )
    return read_table(lake.ratings.sparkSession, target, schemas.RECOMMENDATIONS)


def _silent() -> Progress:
    return Progress(plain_console(quiet=True))


def _time(value: Time | None, name: str) -> Any:
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return parse_time(text, name, now=datetime.now(UTC))
