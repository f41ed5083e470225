"""Every job on a real cluster, whose executors have nothing but the shipped archive, and what it survives."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from canaries import ROW, USER, traces, with_canary
from cluster import ARCHIVE, SPARK_HOME, Cluster, Submitted, running
from comparison import (
    document,
    files,
    local,
    numbers,
    rows,
    same_model,
    same_recommendations,
    same_scores,
)
from deliveries import write
from helpers import ONE_FIT
from pyspark.sql import SparkSession

from movierate_spark import schemas
from movierate_spark.cli.failures import LOST
from movierate_spark.storage.tables import is_delta_table

pytestmark = pytest.mark.faults

SINCE = "2002-07-01"
DAY = "2002-07-02"
SLOW = ("demo",)
TRIES = 4
LONGER_THAN_A_STAGE = 5
# Tells of each process which Python it is and where it has its packages from.
PROBE = """
import subprocess, sys
import pyarrow as pa
import pyspark
from pyspark.sql import SparkSession
import movierate_spark

def where(batches):
    import movierate_spark, numpy, pyspark
    for _ in batches:
        bare = subprocess.run(["python3", "-c", "import numpy"], stderr=subprocess.DEVNULL).returncode
        places = [sys.executable, movierate_spark.__file__, numpy.__file__]
        words = ["executor", pyspark.__file__, *places, str(bare)]
        yield pa.RecordBatch.from_pydict({"told": [" ".join(words)]})

spark = SparkSession.builder.getOrCreate()
print("driver", pyspark.__file__, sys.executable, movierate_spark.__file__)
for row in spark.range(4).repartition(4).mapInArrow(where, "told string").distinct().collect():
    print(row["told"])
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if not ARCHIVE.exists():
        pytest.fail(f"{ARCHIVE} is missing: run make dist")
    with running(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(autouse=True)
def cleared(cluster: Cluster) -> Iterator[None]:
    """Two workers before each test, and no environments left after it."""
    while len([worker for worker in cluster.workers if worker.poll() is None]) < 2:
        cluster.start_worker()
    yield
    cluster.clear()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every job leaves in local mode, from 30,000 simulated ratings."""
    home = tmp_path_factory.mktemp("here")
    (home / "one.toml").write_text(ONE_FIT)
    pairs = [f"{user},{movie}" for user in range(1, 184) for movie in range(1, 1600, 3)]
    write(home / "requests.csv", ["user_id,movie_id", *pairs, f"{USER},1", f"{ROW},1"])
    for command in jobs(home, home):
        if command[0] not in SLOW:
            local(home, *command)
        if command[0] == "simulate":
            shutil.copytree(home / "input", home / "delivered")
            with_canary(home / "delivered", instead_of=7)
    return home


def jobs(home: Path, out: Path) -> list[tuple[object, ...]]:
    """Each job with inputs from ``home`` and what it leaves below ``out``."""
    lake, model = ("--lake", home / "lake"), ("--model", home / "model")
    config = ("--config", home / "one.toml")
    return [
        ("simulate", "--out", out / "input", "--ratings", 30_000, "--seed", 3),
        ("prepare", "--input", home / "delivered", "--lake", out / "lake"),
        ("explore", *lake, "--out", out / "exploration"),
        ("train", *lake, "--model", out / "model", "--until", SINCE, *config),
        ("evaluate", *lake, *model, "--since", SINCE, "--out", out / "evaluation"),
        ("score", *lake, *model, *requests(home), "--scores", out / "scores"),
        ("recommend", *lake, *model, "--out", out / "best", "--top", 10),
        ("audience", *lake, *model, "--genres", "Comedy|Romance", "--year", 2002),
        ("demo", "--out", out / "demo", *config),
        ("runs", home / "lake", home / "model"),
        ("vacuum", home / "lake", "--dry-run"),
        ("doctor",),
    ]


def requests(home: Path) -> tuple[object, ...]:
    return "--requests", home / "requests.csv", "--run-date", DAY


def submit(cluster: Cluster, here: Path, there: Path, name: str) -> str:
    """Run a job on the cluster with the inputs of the local run."""
    return cluster.submit(*the_job(name, here, there))


def the_job(name: str, home: Path, out: Path) -> tuple[Any, ...]:
    return next(job for job in jobs(home, out) if job[0] == name)


def test_driver_and_executors_run_on_the_shipped_archive_and_the_clusters_spark_only(
    cluster: Cluster,
) -> None:
    (cluster.environment / "jobs" / "probe.py").write_text(PROBE)
    driver, *executors = cluster.submit("probe").splitlines()
    role, spark, python, package = driver.split()
    assert role == "driver"
    assert Path(spark).is_relative_to(SPARK_HOME)
    assert Path(python).is_relative_to(cluster.environment)
    assert Path(package).is_relative_to(cluster.environment)
    assert executors
    for line in executors:
        role, spark, *places, bare = line.split()
        assert role == "executor"
        assert Path(spark).is_relative_to(SPARK_HOME), line
        for place in places:
            assert "worker" in Path(place).relative_to(cluster.folder).parts[0], line
            assert "environment" in Path(place).parts
        assert bare == "1"


def test_nobody_without_the_secret_gets_onto_the_cluster(
    cluster: Cluster, here: Path, tmp_path: Path
) -> None:
    guessed = {"spark.authenticate.secret": "guessed"}
    stranger = cluster.start(*the_job("prepare", here, tmp_path), properties=guessed)
    assert stranger.driver.wait() == 1
    assert "Exception while bootstrapping client" in (stranger.folder / "err").read_text()
    assert not (tmp_path / "lake").exists()


def test_simulate_gives_the_same_files(cluster: Cluster, here: Path, tmp_path: Path) -> None:
    submit(cluster, here, tmp_path, "simulate")
    assert files(tmp_path / "input") == files(here / "input")


def test_prepare_gives_the_same_lake(
    cluster: Cluster, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    output = submit(cluster, here, tmp_path, "prepare")
    assert "ratings: read 30002 = accepted 30000 + rejected 2 (field_count 1, movie_id 1)\n" in output
    for name, schema in schemas.LAKE.items():
        assert rows(spark, tmp_path / "lake" / name, schema) == rows(spark, here / "lake" / name, schema)
    assert document(tmp_path / "lake" / "ledger.json") == document(here / "lake" / "ledger.json")


def test_explore_gives_the_same_figures(cluster: Cluster, here: Path, tmp_path: Path) -> None:
    submit(cluster, here, tmp_path, "explore")
    assert files(tmp_path / "exploration" / "figures") == files(here / "exploration" / "figures")
    assert (tmp_path / "exploration" / "report.html").is_file()


def test_train_gives_the_same_model(cluster: Cluster, here: Path, tmp_path: Path) -> None:
    submit(cluster, here, tmp_path, "train")
    same_model(tmp_path / "model", here / "model")


def test_evaluate_gives_the_same_metrics(
    cluster: Cluster, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    submit(cluster, here, tmp_path, "evaluate")
    there, expected = (home / "evaluation" for home in (tmp_path, here))
    assert document(there / "metrics.json") == numbers(document(expected / "metrics.json"))
    tables = [rows(spark, home / "predictions", schemas.PREDICTIONS) for home in (there, expected)]
    assert tables[0] == tables[1]


def test_score_gives_the_same_scores(
    cluster: Cluster, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    output = submit(cluster, here, tmp_path, "score")
    assert f"scored {len(rows(spark, here / 'scores', schemas.SCORES))} + rejected 1\n" in output
    same_scores(spark, tmp_path, here)


def test_recommend_gives_the_same_movies(
    cluster: Cluster, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    submit(cluster, here, tmp_path, "recommend")
    same_recommendations(spark, tmp_path, here)


def test_a_batch_gives_the_same_scores_and_movies(
    cluster: Cluster, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    night = [shlex.join(map(str, the_job(name, here, tmp_path))) for name in ("score", "recommend")]
    write(tmp_path / "night.txt", night)
    cluster.submit("batch", tmp_path / "night.txt")
    same_scores(spark, tmp_path, here)
    same_recommendations(spark, tmp_path, here)


@pytest.mark.parametrize("name", ["audience", "runs", "vacuum"])
def test_what_only_speaks_says_the_same(cluster: Cluster, here: Path, tmp_path: Path, name: str) -> None:
    job = the_job(name, here, tmp_path)
    there, expected = (
        [line for line in output.splitlines() if not re.search(r"\d s$", line)]
        for output in (cluster.submit(*job), local(here, *job))
    )
    assert there == expected


def test_doctor_finds_the_archive_fine(cluster: Cluster) -> None:
    output = cluster.submit("doctor")
    assert all(line.startswith("fine  ") for line in output.splitlines())
    assert f"settings: {cluster.environment}" in output


def test_demo_does_every_job(cluster: Cluster, here: Path, tmp_path: Path) -> None:
    local(here, *the_job("demo", here, here))
    output = submit(cluster, here, tmp_path, "demo")
    assert f"report: {tmp_path / 'demo' / 'evaluation' / 'report.html'}\n" in output
    there, expected = (home / "demo" / "evaluation" / "metrics.json" for home in (tmp_path, here))
    assert document(there) == numbers(document(expected))


def kill(pids: Sequence[int], with_: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        os.kill(pid, with_)


def lose(cluster: Cluster, worker: int, *, with_it: Sequence[int] = ()) -> None:
    """Kill a worker's executor while it has a task: once it stands still, one waits for it for ever."""
    executors = cluster.executors(worker)
    assert len(executors) == 1
    kill(executors, signal.SIGSTOP)
    time.sleep(LONGER_THAN_A_STAGE)
    kill([*with_it, *executors])


def lost_tasks(events: str) -> int:
    """How many tasks were lost with their executor."""
    ends = (json.loads(line) for line in events.splitlines() if "ExecutorLostFailure" in line)
    return sum(end["Event"] == "SparkListenerTaskEnd" for end in ends)


def test_a_training_that_loses_an_executor_gives_the_same_model(
    cluster: Cluster, here: Path, tmp_path: Path
) -> None:
    training = cluster.start(*the_job("train", here, tmp_path))
    training.wait_until(lambda: "history of every rating" in training.out)
    lose(cluster, cluster.busiest())  # the other may have nothing: tasks go where rows are kept
    training.done()
    assert lost_tasks(cluster.events()) == 1
    same_model(tmp_path / "model", here / "model")


def writing(scores: Path) -> bool:
    """Whether a task has begun to write scores: the job's last stage is running."""
    return any(scores.glob("run_date=*/*/_temporary/0/_temporary/attempt_*"))


def start_scoring(cluster: Cluster, here: Path, there: Path, **properties: str) -> Submitted:
    """Score, and wait until scores are being written while both workers have Python processes at work."""
    conf = {"spark.sql.adaptive.enabled": "false", **properties}  # so that there is a task for each of them
    for _ in range(TRIES):
        scoring = cluster.start(*the_job("score", here, there), properties=conf)
        if scoring.comes_to(lambda: writing(there / "scores") and cluster.python_workers(0)):
            return scoring
        # One executor has done it all before the other had unpacked its environment.
        scoring.done()
        shutil.rmtree(there / "scores")
    return pytest.fail("one executor is always late")


def test_a_scoring_that_loses_an_executor_gives_the_same_scores(
    cluster: Cluster, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    scoring = start_scoring(cluster, here, tmp_path)
    lose(cluster, 0)
    scoring.done()
    assert lost_tasks(cluster.events()) == 1
    same_scores(spark, tmp_path, here)


def test_a_scoring_that_may_not_try_again_publishes_nothing_and_says_why(
    cluster: Cluster, here: Path, tmp_path: Path
) -> None:
    once = {"spark.task.maxFailures": "1", "spark.stage.maxConsecutiveAttempts": "1"}
    scoring = start_scoring(cluster, here, tmp_path, **once)
    lose(cluster, 0)
    assert scoring.driver.wait() == 1
    assert scoring.out.endswith(f"movierate score: {LOST}\n")
    assert not is_delta_table(tmp_path / "scores")


def test_a_scoring_that_loses_a_worker_gives_the_same_scores(
    cluster: Cluster, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    scoring = start_scoring(cluster, here, tmp_path)
    lose(cluster, 1, with_it=[cluster.workers[1].pid])
    scoring.done()
    assert lost_tasks(cluster.events()) == 1
    same_scores(spark, tmp_path, here)


def test_a_straggler_is_overtaken_by_its_copy_and_each_score_is_there_once(
    cluster: Cluster, here: Path, spark: SparkSession, tmp_path: Path
) -> None:
    speculation = {
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.quantile": "0.25",
        "spark.speculation.multiplier": "1.1",
    }
    scoring = start_scoring(cluster, here, tmp_path, **speculation)
    stopped = cluster.python_workers(0)
    kill(stopped, signal.SIGSTOP)
    since = time.time()
    try:
        scoring.wait_until(lambda: overtaken(cluster.events(), since))
    finally:
        kill([pid for pid in stopped if Path(f"/proc/{pid}").exists()], signal.SIGCONT)
    scoring.done()
    same_scores(spark, tmp_path, here)


def overtaken(events: str, since: float) -> bool:
    """Whether a speculative copy of a task, launched after a time (epoch seconds), has ended well."""
    ends = (json.loads(line) for line in events.splitlines() if "SparkListenerTaskEnd" in line)
    copies = (end for end in ends if end["Task Info"]["Speculative"])
    return any(
        copy["Task End Reason"]["Reason"] == "Success" and copy["Task Info"]["Launch Time"] > since * 1000
        for copy in copies
    )


def test_no_log_of_driver_executor_or_daemon_knows_the_canary(cluster: Cluster) -> None:
    """What all jobs before have left: event logs, and what every process has printed."""
    logs = [file for file in cluster.folder.glob("worker*/app-*/*/std*") if file.is_file()]
    events = list((cluster.folder / "events").rglob("events_*"))
    printed = [*cluster.folder.glob("*.log"), *cluster.folder.glob("submitted/*/*")]
    assert min(len(logs), len(events), len(printed)) > 2
    assert traces([*logs, *events, *printed]) == {}
