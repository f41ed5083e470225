"""What tests of several folders use: where things are, quick settings, what a command left."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deliveries import START
from pyspark.sql import Row, SparkSession

from movierate_spark import schemas
from movierate_spark.session import local_properties
from movierate_spark.storage.tables import read_table

ROOT = Path(__file__).resolve().parents[1]

# A query over a few rows runs in less time than Spark takes to compile it, or to plan it anew on the way.
INTERPRETED = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}

COMPILED = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
}


OPTIONS = "spark.driver.extraJavaOptions"

# Java's second compiler takes half of the tests' CPU time and makes them no faster: they do little often.
FIRST_COMPILER = "-XX:+UseSerialGC -Xmn2g -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
SHORT_LIVED = {
    OPTIONS: local_properties(cores="2", driver_memory="3g")[OPTIONS].replace(
        "-XX:+UseParallelGC", FIRST_COMPILER
    )
}


@dataclass
class Outcome:
    status: int
    out: str
    err: str


Movierate = Callable[..., Outcome]
"""Runs a command in the process of the tests."""
RUN_DATE = "2000-12-31"


def lake_and_model(home: Path) -> tuple[object, ...]:
    return "--lake", home / "lake", "--model", home / "model"


def score(movierate: Movierate, home: Path, requested: object, scores: Path, *more: object) -> Outcome:
    """Score with the lake and the model of a home; for :data:`RUN_DATE`, if no date is given."""
    inputs = (*lake_and_model(home), "--requests", requested)
    days = more if {"--from", "--run-date"} & {*more} else ("--run-date", RUN_DATE, *more)
    return movierate("score", *inputs, "--scores", scores, *days)


def one_line(outcome: Outcome) -> str:
    """What a command says that was refused."""
    assert outcome.status == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert "Traceback" not in outcome.err
    return outcome.err


def read_scores(spark: SparkSession, scores: Path) -> list[Row]:
    return read_table(spark, scores, schemas.SCORES).sort("run_date", "user_id", "movie_id").collect()


def run_records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((folder / "_runs").glob("*.json"))]


ONE_FIT = "[train]\nfolds = 2\nreg_param = [0.003]\nelastic_net_param = [0.0]\nmax_iter = 25\n"

PLAIN = f"{ONE_FIT}refit = false\n[features]\nhistory = false\n"

HOSTILE_TITLES = (
    "<script>alert(1)</script> (1999)",
    "=cmd() (2000)",
    '<a href="javascript:alert(1)">x</a> & (2001)',
)


@dataclass
class Simulated:
    """A whole run on simulated data, whose most rated movies have hostile titles."""

    folder: Path
    truth: dict[str, Any]


DAY = 86_400

T = START + 150 * DAY

FAST = """
[train]
folds = 2
reg_param = [0.01]
elastic_net_param = [0.0]
max_iter = 10
[features]
zip3_min_users = 2
genre_min_movies = 2
"""


def listing(folder: Path) -> Sequence[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
