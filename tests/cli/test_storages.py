"""Every job on HDFS under YARN in cluster mode, and on a server like S3, beside what local mode leaves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from canaries import ROW, USER, with_canary
from cluster import ARCHIVE
from comparison import (
    document,
    files,
    local,
    numbers,
    rows,
    same_but_fitted,
    same_model,
    same_recommendations,
)
from deliveries import write
from helpers import ONE_FIT, ROOT
from killing import TOGETHER, killed_at
from pyspark.sql import SparkSession
from s3_in_hadoop import reached
from servers import BUCKET, CLUSTER, mini_cluster, s3_server

from movierate_spark import schemas
from movierate_spark.storage.files import chunks_of, files_below
from movierate_spark.storage.locations import Location, location_of

pytestmark = pytest.mark.cluster

SINCE = "2002-07-01"
DAYS = ("2002-07-02", "2002-07-03", "2002-07-04")


@dataclass(frozen=True)
class Place:
    """Where jobs leave what they make: ``run`` runs a job there and returns what it printed.

    ``variables`` and ``config`` are the environment and the settings with which local mode reaches it.
    """

    home: str
    run: Callable[..., str]
    variables: Mapping[str, str]
    config: tuple[object, ...] = ()

    def fetch(self, name: str, target: Path) -> Path:
        """A copy, on this machine, of what lies there."""
        copy(location_of(f"{self.home}/{name}"), target / name)
        return target


def copy(source: Location, target: Path) -> None:
    for entry in files_below(source):
        file = target / entry.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(chunks_of(source / entry.name)))


def jobs(home: object) -> dict[str, tuple[object, ...]]:
    """Each job's options, by what it leaves."""
    lake, model = ("--lake", f"{home}/lake"), ("--model", f"{home}/model")
    requests = f"{home}/requests"
    return {
        "lake": ("prepare", "--input", f"{home}/input", *lake),
        "exploration": ("explore", *lake, "--out", f"{home}/exploration"),
        "model": ("train", *lake, *model, "--until", SINCE),
        "evaluation": ("evaluate", *lake, *model, "--since", SINCE, "--out", f"{home}/evaluation"),
        "scores": (
            *("score", *lake, *model, "--scores", f"{home}/scores"),
            *("--requests", f"{requests}/{DAYS[0]}.csv", "--run-date", DAYS[0]),
        ),
        "backfill": (
            *("score", *lake, *model, "--scores", f"{home}/backfill"),
            *("--requests", f"{requests}/{{date}}.csv", "--from", DAYS[0], "--to", DAYS[-1]),
        ),
        "best": ("recommend", *lake, *model, "--out", f"{home}/best", "--top", 10),
        "segments": ("audience", *lake, *model, "--genres", "Comedy|Romance", "--year", 2002),
        "records": ("runs", f"{home}/lake", f"{home}/model"),
        "unused": ("vacuum", f"{home}/lake", f"{home}/scores", "--retention-hours", 0, "--even-recent"),
    }


SETTINGS = ("model",)
"""The jobs that get the settings for a single fit."""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input, and what every job leaves in local mode."""
    home = tmp_path_factory.mktemp("here")
    (home / "one.toml").write_text(ONE_FIT)
    local(home, "simulate", "--out", home / "input", "--ratings", 8_000, "--seed", 3)
    shutil.rmtree(home / "input" / "_runs", ignore_errors=True)
    with_canary(home / "input", instead_of=7)
    (home / "requests").mkdir()
    pairs = [f"{user},{movie}" for user in range(1, 49) for movie in range(1, 1100, 7)]
    people = [f"{USER},1", f"{ROW},1"]
    for number, day in enumerate(DAYS):
        write(home / "requests" / f"{day}.csv", ["user_id,movie_id", *pairs[number:], *people])
    for name, job in jobs(home).items():
        config = ("--config", home / "one.toml") if name in SETTINGS else ()
        local(home, *job, *config)
    return home


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory: pytest.TempPathFactory, here: Path) -> Iterator[Place]:
    """HDFS, with jobs on YARN in cluster mode, whose containers have nothing but the shipped archive."""
    if not ARCHIVE.exists():
        pytest.fail(f"{ARCHIVE} is missing: run make dist")
    with mini_cluster(tmp_path_factory.mktemp("hadoop")) as cluster:
        for file in [*(here / "input").glob("*.dat"), *(here / "requests").glob("*.csv")]:
            cluster.put(file, f"/home/{file.parent.name}/{file.name}")
        properties = {
            "spark.archives": f"{cluster.put(ARCHIVE, f'/apps/{ARCHIVE.name}')}#environment",
            **CLUSTER,
            "spark.files": str(here / "one.toml"),
        }

        def run(name: str, status: int = 0) -> str:
            job = jobs(f"{cluster.file_system}/home")[name]
            config = ("--config", "one.toml") if name in SETTINGS else ()
            script = ROOT / "jobs" / f"{job[0]}.py"
            done = cluster.submit(script, *job[1:], *config, properties=properties)
            printed = cluster.logs(cluster.applications()[0]["id"])
            assert (done.returncode == 0) == (status == 0), (done.stderr, printed)
            driver = next(log for log in printed if "_000001/stdout" in log)
            return printed[driver]

        yield Place(f"{cluster.file_system}/home", run, cluster.variables)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, here: Path, spark: SparkSession) -> Iterator[Place]:
    """A server like S3, with jobs in local mode."""
    folder = tmp_path_factory.mktemp("s3")
    with s3_server(folder) as server, reached(spark, server):
        lines = (f'"{name}" = "{value}"\n' for name, value in server.spark_properties.items())
        (folder / "s3.toml").write_text(f"[spark.properties]\n{''.join(lines)}")
        home, reach = f"s3a://{BUCKET}/home", ("--config", folder / "s3.toml")
        for file in [*(here / "input").glob("*.dat"), *(here / "requests").glob("*.csv")]:
            target: Any = location_of(f"{home}/{file.parent.name}/{file.name}")
            target.write_chunks([file.read_bytes()])

        def run(name: str) -> str:
            config = ("--config", here / "one.toml") if name in SETTINGS else ()
            return local(folder, *jobs(home)[name], *config, *reach)

        yield Place(home, run, os.environ, reach)


@pytest.fixture(scope="module", params=["hdfs", "s3"])
def place(request: pytest.FixtureRequest) -> Place:
    """Each of them. The session's JVM reads what lies there."""
    request.getfixturevalue("spark")
    return request.getfixturevalue(request.param)


# The tests stand in the order in which the jobs need each other.


def test_prepare_leaves_the_same_lake(place: Place, here: Path, spark: SparkSession, tmp_path: Path) -> None:
    output = place.run("lake")
    assert f"lake: {place.home}/lake" in output
    there = place.fetch("lake", tmp_path)
    for name, schema in schemas.LAKE.items():
        assert rows(spark, there / "lake" / name, schema) == rows(spark, here / "lake" / name, schema)
    ledgers = [document(home / "lake" / "ledger.json") for home in (there, here)]
    assert [ledger.pop("inputs").keys() for ledger in ledgers] == 2 * [  # type: ignore[attr-defined]
        {"ratings.dat": 0, "users.dat": 0, "movies.dat": 0}.keys()
    ]
    assert ledgers[0] == ledgers[1]


def test_prepare_does_nothing_when_the_same_files_are_delivered_again(place: Place, here: Path) -> None:
    for file in (here / "input").glob("*.dat"):
        delivered: Any = location_of(f"{place.home}/input/{file.name}")
        delivered.write_chunks([file.read_bytes()])
    assert "unchanged: prepared from the same files before" in place.run("lake")


def test_explore_leaves_the_same_figures(place: Place, here: Path, tmp_path: Path) -> None:
    place.run("exploration")
    there = place.fetch("exploration", tmp_path)
    assert files(there / "exploration" / "figures") == files(here / "exploration" / "figures")
    assert (there / "exploration" / "report.html").is_file()


def test_train_leaves_the_same_model(place: Place, here: Path, tmp_path: Path) -> None:
    place.run("model")
    same_model(place.fetch("model", tmp_path) / "model", here / "model")


def test_evaluate_leaves_the_same_metrics(
    place: Place, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    place.run("evaluation")
    homes = (place.fetch("evaluation", tmp_path), here)
    there, expected = (document(home / "evaluation" / "metrics.json") for home in homes)
    assert there == numbers(expected)
    same_but_fitted(spark, *homes, schemas.PREDICTIONS, name="evaluation/predictions")


def test_score_leaves_the_same_scores_and_reasons(
    place: Place, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    place.run("scores")
    there = place.fetch("scores", tmp_path)
    rejected = [
        rows(spark, home / "scores" / "_rejected", schemas.REJECTED_REQUESTS) for home in (there, here)
    ]
    assert len(rejected[0]) == 1
    assert rejected[0] == rejected[1]
    assert same_but_fitted(spark, there, here, schemas.SCORES, name="scores")
    assert "unchanged" in place.run("scores")


def test_a_backfill_leaves_the_same_scores(
    place: Place, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    output = place.run("backfill")
    assert "3 scored" in output or output.count("scored") >= len(DAYS)
    scores = same_but_fitted(spark, place.fetch("backfill", tmp_path), here, schemas.SCORES, name="backfill")
    assert {str(row[schemas.SCORES.names.index("run_date")]) for row in scores} == set(DAYS)


def test_recommend_leaves_the_same_movies(
    place: Place, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    place.run("best")
    same_recommendations(spark, place.fetch("best", tmp_path), here)


@pytest.mark.parametrize("name", ["segments", "records"])
def test_what_only_speaks_says_the_same(place: Place, here: Path, name: str) -> None:
    there, expected = (lines(output) for output in (place.run(name), local(here, *jobs(here)[name])))
    if name == "segments":
        assert there == expected
        return
    records, others = (
        re.findall(r"(prepare|train) +(done) ", "\n".join(result)) for result in (there, expected)
    )
    assert records == others
    assert len(records) == 2


def lines(output: str) -> list[str]:
    """The lines of a result, without those of its progress."""
    return [line for line in output.splitlines() if not line.rstrip().endswith(" s")]


STEPS = [
    pytest.param(("attempt_to_write", "before", 2), 0, id="before the scores"),
    pytest.param(("commit", "before", 1), 0, id="before the first commit"),
    pytest.param(("commit", "after", 1), 1, id="between the two commits"),
    pytest.param(("commit", "after", 2), 2, id="after the second commit"),
]
"""Where a run is killed, and how many of its tables it has published: first the rejected, then the scores."""


def scoring(place: Place, table: str, requests: str) -> list[object]:
    """The options that score other requests for the first day, in local mode."""
    inputs = ("--lake", f"{place.home}/lake", "--model", f"{place.home}/model", "--run-date", DAYS[0])
    target = ("--scores", f"{place.home}/{table}", "--requests", f"{place.home}/requests/{requests}.csv")
    return ["score", *inputs, *target, *place.config]


@pytest.mark.parametrize(("step", "published"), STEPS)
def test_a_killed_publish_leaves_the_old_scores_and_can_be_run_again(
    place: Place, spark: SparkSession, step: Sequence[object], published: int
) -> None:
    table = f"killed-{'-'.join(map(str, step))}"
    run(place, scoring(place, table, DAYS[0]))
    before = stored(spark, place, table)
    killed_at(step, scoring(place, table, DAYS[1]), place.variables)
    after = stored(spark, place, table)
    output = run(place, scoring(place, table, DAYS[1]))
    expected = stored(spark, place, table)
    assert ("unchanged" in output) == (published == 2)
    assert after[0] == (expected if published == 2 else before)[0]
    assert after[1] == (expected if published >= 1 else before)[1]
    assert expected[0] != before[0]


def test_of_two_runs_that_publish_at_once_one_ends_with_status_3(
    place: Place, spark: SparkSession, tmp_path: Path
) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, *map(str, (tmp_path, *scoring(place, "raced", day)))],
            env=dict(place.variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for day in DAYS[:2]
    ]
    printed = [run.communicate()[0] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 3], printed
    winner = next(number for number, run in enumerate(runs) if run.returncode == 0)
    assert "another run has published" in printed[1 - winner]
    raced = stored(spark, place, "raced")
    run(place, scoring(place, "alone", DAYS[winner]))
    assert raced == stored(spark, place, "alone")


def run(place: Place, arguments: Sequence[object]) -> str:
    """Run a command in local mode, against the place."""
    code = "import sys; from movierate_spark.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=dict(place.variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(spark: SparkSession, place: Place, table: str) -> tuple[list[Any], list[Any]]:
    """The scores and the rejected requests that lie there."""
    with tempfile.TemporaryDirectory() as folder:
        there = place.fetch(table, Path(folder)) / table
        return rows(spark, there, schemas.SCORES), rows(spark, there / "_rejected", schemas.REJECTED_REQUESTS)


def test_vacuum_removes_what_was_never_published(place: Place, tmp_path: Path) -> None:
    lost: Any = location_of(f"{place.home}/scores/run_date={DAYS[0]}/{'0' * 32}/part-0.parquet")
    lost.write_chunks([b"PAR1"])
    output = place.run("unused")
    assert f"{place.home}/scores: 1 files or folders removed" in output
    assert not lost.exists()
    scores = place.fetch("scores", tmp_path) / "scores"
    assert [file for file in scores.rglob("*.parquet") if "_rejected" not in str(file)]
