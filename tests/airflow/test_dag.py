"""What the DAG says to Airflow, and to spark-submit: a stand-in that writes down how it is called."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, CronTriggerTimetable
from conftest import AIRFLOW, BIN, DAGS, ENVIRONMENT, HOME, SETTINGS

DAY = "2026-03-02"
COMMANDS = {
    "prepare": {"source": SETTINGS["input"], "lake": SETTINGS["lake"]},
    "score": {
        "lake": SETTINGS["lake"],
        "model": SETTINGS["model"],
        "requests": f"{SETTINGS['requests']}/{DAY}.csv",
        "scores": SETTINGS["scores"],
        "run_date": DAY,
    },
    "recommend": {
        "lake": SETTINGS["lake"],
        "model": SETTINGS["model"],
        "out": SETTINGS["recommendations"],
        "top": 10,
    },
}
# Reads command lines as the jobs do; prints the options that were given.
READ = """
import json, sys
from typer.main import get_command
from movierate_spark.cli.app import app

commands, read = get_command(app).commands, {}
for name, arguments in json.load(sys.stdin).items():
    context = commands[name].make_context(name, arguments)
    options = {
        key: value if isinstance(value, int) else str(value)
        for key, value in context.params.items()
        if context.get_parameter_source(key).name == "COMMANDLINE"
    }
    read[name] = options
print(json.dumps(read))
"""


@pytest.fixture(scope="module")
def dag() -> DAG:
    bag = DagBag(DAGS)
    assert bag.import_errors == {}
    assert list(bag.dags) == ["movierate_nightly"]
    return bag.dags["movierate_nightly"]


@pytest.fixture(scope="module")
def airflow() -> Callable[..., None]:
    """Runs a command line of Airflow, or of a shell that finds it, beside a stand-in for spark-submit."""
    stand_in = HOME / "bin" / "spark-submit"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" '' >> $CALLS\n")
    stand_in.chmod(0o755)
    path = f"{stand_in.parent}:{AIRFLOW.parent}:{os.environ['PATH']}"

    def run(*command: str, **environment: str) -> None:
        # A task that fails is tried again after its delay, as ever: too late for a test.
        done = subprocess.run(
            command,
            env={**os.environ, "PATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    run("airflow", "db", "migrate")
    return run


def called(
    airflow: Callable[..., None], calls: Path, **environment: str
) -> list[tuple[list[str], list[str]]]:
    """A run of the day: for each call of spark-submit its own options, and the job with those of the job."""
    airflow("airflow", "dags", "test", "movierate_nightly", DAY, CALLS=str(calls), **environment)
    split = []
    for call in calls.read_text().removesuffix("\n\n").split("\n\n"):
        words = call.split("\n")
        job = next(i for i, word in enumerate(words) if word.endswith(".py"))
        split.append((words[:job], words[job:]))
    return split


def dag_with(folder: Path, *, line: str, instead_of: str) -> DAG:
    """The DAG of a copy of the file in which one line is another."""
    text = (DAGS / "movierate_nightly.py").read_text()
    assert f"\n{instead_of}\n" in text
    (folder / "movierate_nightly.py").write_text(text.replace(f"\n{instead_of}\n", f"\n{line}\n"))
    return DagBag(folder).dags["movierate_nightly"]


def test_a_delivery_for_each_date_is_added_if_the_file_says_so(tmp_path: Path) -> None:
    adding = dag_with(tmp_path, line="DELIVERIES_ADD = True", instead_of="DELIVERIES_ADD = False")
    prepare = adding.get_task("prepare")
    source, lake = "{{ var.json.movierate.input }}/{{ ds }}", "{{ var.json.movierate.lake }}"
    assert prepare.application_args == ["--input", source, "--lake", lake, "--add"]


def test_every_job_gets_the_files_of_settings_that_the_file_names(tmp_path: Path) -> None:
    files = 'CONFIG_FILES = ("/etc/movierate/input.toml", "/etc/movierate/s3.toml")'
    configured = dag_with(tmp_path, line=files, instead_of="CONFIG_FILES: tuple[str, ...] = ()")
    words = ["--config", "/etc/movierate/input.toml", "--config", "/etc/movierate/s3.toml"]
    for name in ("prepare", "score", "recommend"):
        assert configured.get_task(name).application_args[-4:] == words


def test_every_date_is_run_and_caught_up_one_after_the_other(dag: DAG) -> None:
    assert dag.schedule == CronTriggerTimetable("0 3 * * *", timezone="UTC")
    assert dag.catchup
    assert dag.start_date == datetime(2026, 1, 1, tzinfo=UTC)
    assert dag.max_active_runs == 1
    assert dag.max_active_tasks == 1
    assert "## The run date" in str(dag.doc_md)


def test_scores_and_recommendations_each_wait_for_the_lake_only(dag: DAG) -> None:
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "prepare": {"score", "latest_only"},
        "score": set(),
        "latest_only": {"recommend"},
        "recommend": set(),
    }


def test_a_job_that_fails_or_hangs_is_tried_again(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.retries == 3
        assert task.retry_delay == timedelta(minutes=15)
        assert task.execution_timeout == timedelta(hours=3)
        assert task.doc_md


def test_the_jobs_are_called_with_options_that_they_know(
    airflow: Callable[..., None], tmp_path: Path
) -> None:
    submitted = called(
        airflow,
        tmp_path / "calls",
        AIRFLOW_VAR_MOVIERATE=json.dumps(SETTINGS),
        AIRFLOW_CONN_MOVIERATE_SPARK=json.dumps({"conn_type": "spark", "host": "local[2]"}),
    )
    jobs = {Path(words[0]).stem: words for _, words in submitted}
    assert list(jobs) == list(COMMANDS)
    assert [Path(words[0]) for words in jobs.values()] == [
        ENVIRONMENT / "jobs" / f"{name}.py" for name in jobs
    ]
    arguments = json.dumps({name: words[1:] for name, words in jobs.items()})
    read = subprocess.run(
        [BIN / "python", "-c", READ], input=arguments, capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout) == COMMANDS
    quiet = f"-Dlog4j2.configurationFile={ENVIRONMENT}/conf/log4j2.properties"
    for name, (options, _) in zip(jobs, submitted, strict=True):
        assert options == [
            *("--master", "local[2]"),
            *("--conf", f"spark.driver.defaultJavaOptions={quiet}"),
            *("--conf", f"spark.pyspark.driver.python={ENVIRONMENT}/bin/python"),
            *("--name", f"movierate {name} {DAY}"),
        ]


def test_nothing_is_needed_but_what_the_documentation_says_to_set(
    dag: DAG, airflow: Callable[..., None], tmp_path: Path
) -> None:
    set_up, *_ = re.findall(r"```\n(airflow .*?)```", str(dag.doc_md), re.DOTALL)
    airflow("sh", "-ec", set_up)
    submitted = called(airflow, tmp_path / "calls")
    assert [words[0] for _, words in submitted] == [
        f"/opt/movierate/environment/jobs/{name}.py" for name in COMMANDS
    ]
    for options, _ in submitted:
        assert ("--master", "yarn") in pairwise(options)
        assert ("--properties-file", "/etc/movierate/spark.conf") in pairwise(options)
