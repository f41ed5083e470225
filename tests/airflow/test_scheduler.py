"""Three nights under a real scheduler, which runs real jobs: one delivery is late, one date is run again."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import BIN, DAGS, FOLDERS, HOME, ROOT, SETTINGS, SPARK
from servers import Airflow

# The DAG's own time of day may come while the tests run; this one comes hours before and hours after.
TIME_OF_DAY = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=12)
NIGHTS = [TIME_OF_DAY - timedelta(days=days) for days in (2, 1, 0)]
DATES = [f"{night:%Y-%m-%d}" for night in NIGHTS]
LONGEST = 900
FAST = """
[train]
folds = 2
reg_param = [0.01]
elastic_net_param = [0.0]
max_iter = 10
[features]
zip3_min_users = 2
genre_min_movies = 2
[spark.properties]
"""
# With so few rows a query runs in less time than Spark and Java take to compile it.
PROPERTIES = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}


def project(*command: object) -> str:
    """The output of a command of the project's own environment."""
    done = subprocess.run(
        [BIN / str(command[0]), *map(str, command[1:])],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def edited(dag: str) -> str:
    """The DAG with another first date, time of day and delay, as whoever copies it sets them."""
    night = NIGHTS[0]
    changes = {
        r"(?m)^FIRST_RUN_DATE = .*$": f"FIRST_RUN_DATE = datetime({night:%Y, %-m, %-d}, tzinfo=UTC)",
        r"(?m)^RETRY_DELAY = .*$": "RETRY_DELAY = timedelta(seconds=5)",
        r'"0 3 \* \* \*"': f'"0 {night.hour} * * *"',
    }
    for old, new in changes.items():
        dag, count = re.subn(old, new, dag)
        assert count == 1, old
    return dag


def deliver_requests(date: str) -> None:
    path = Path(FOLDERS["requests"]) / f"{date}.csv"
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".part").write_text("user_id,movie_id\n1,2\n3,4\n")
    path.with_suffix(".part").rename(path)


@pytest.fixture(scope="module")
def airflow() -> Iterator[Airflow]:
    """Airflow, three nights behind, beside a lake and a model; the second night's requests are missing."""
    properties = "".join(f'"{name}" = "{value}"\n' for name, value in PROPERTIES.items())
    (HOME / "fast.toml").write_text(FAST + properties)
    (HOME / "spark.conf").write_text("".join(f"{name} {value}\n" for name, value in PROPERTIES.items()))
    lake, fast = ("--lake", FOLDERS["lake"]), ("--config", HOME / "fast.toml")
    deliver = "import sys; from pathlib import Path; from deliveries import ml_1m; ml_1m(Path(sys.argv[1]))"
    project("python", "-c", deliver, FOLDERS["input"])
    project("movierate", "prepare", "--input", FOLDERS["input"], *lake, *fast)
    project("movierate", "train", *lake, "--model", FOLDERS["model"], *fast)
    deliver_requests(DATES[0])
    deliver_requests(DATES[2])
    settings = {**SETTINGS, "properties_file": str(HOME / "spark.conf")}
    started = Airflow(
        HOME / "scheduler",
        {
            # Spark's commands, and not the Python of the package.
            "PATH": f"{SPARK / 'bin'}:{os.environ['PATH']}",
            "SPARK_HOME": str(SPARK),
            "AIRFLOW_VAR_MOVIERATE": json.dumps(settings),
            "AIRFLOW_CONN_MOVIERATE_SPARK": json.dumps({"conn_type": "spark", "host": "local[2]"}),
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
    )
    (started.dags / "movierate_nightly.py").write_text(edited((DAGS / "movierate_nightly.py").read_text()))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def nights(airflow: Airflow) -> Airflow:
    """The three nights, caught up; the second one's requests came after it had failed."""

    def has_failed() -> bool:
        score = airflow.tasks(DATES[1]).get("score", {"state": None, "try_number": 0})
        return bool(score["state"] == "up_for_retry" or score["try_number"] > 1)

    def are_over() -> bool:
        states = [run["state"] for run in airflow.runs().values()]
        assert "failed" not in states, airflow.last_lines()
        return states.count("success") == len(DATES)

    airflow.wait(has_failed, "a failed try of the second night's score", seconds=LONGEST)
    deliver_requests(DATES[1])
    airflow.wait(are_over, "the end of the third night", seconds=LONGEST)
    return airflow


def table(folder: str, columns: str) -> list[list[Any]]:
    """Rows of a Delta table, in order."""
    # Not to_pandas(): its threads may abort the interpreter as it ends (pyarrow 26).
    read = f"""
import json, sys
import pyarrow
from deltalake import DeltaTable, QueryBuilder
query = QueryBuilder().register("t", DeltaTable(sys.argv[1]))
rows = pyarrow.table(query.execute("select {columns} from t order by {columns}").read_all())
print(json.dumps([[str(value) for value in row.values()] for row in rows.to_pylist()]))
"""
    return list(json.loads(project("python", "-c", read, folder)))


def version(folder: str) -> int:
    read = "import sys; from deltalake import DeltaTable; print(DeltaTable(sys.argv[1]).version())"
    return int(project("python", "-c", read, folder))


def outcomes(folder: str) -> list[tuple[str, str]]:
    """Run date and outcome of every run that left a record there, oldest first."""
    records = [json.loads(file.read_text()) for file in sorted((Path(folder) / "_runs").glob("*.json"))]
    return [(record["run_date"], record["outcome"]) for record in records]


def test_every_date_is_scored_once_and_as_of_its_own_midnight(nights: Airflow) -> None:
    assert sorted(nights.runs()) == DATES
    assert {run["run_type"] for run in nights.runs().values()} == {"scheduled"}
    assert outcomes(FOLDERS["scores"]) == [(date, "done") for date in DATES]
    assert table(FOLDERS["scores"], "run_date, user_id, at") == [
        [date, user, f"{date} 00:00:00+00:00"] for date in DATES for user in ("1", "3")
    ]


def test_a_late_delivery_is_found_by_a_later_try(nights: Airflow) -> None:
    assert [nights.tasks(date)["score"]["try_number"] > 1 for date in DATES] == [False, True, False]
    first_try = nights.logs.glob(f"dag_id=movierate_nightly/*{DATES[1]}*/task_id=score/attempt=1.log")
    log = next(first_try).read_text()
    assert f"--requests {FOLDERS['requests']}/{DATES[1]}.csv: no such file" in log
    assert "Error code is: 2" in log


def test_jobs_run_one_at_a_time_and_scores_go_first(nights: Airflow) -> None:
    tasks = [nights.tasks(date) for date in DATES]
    jobs = [
        task for of_night in tasks for task in of_night.values() if task["operator"] == "SparkSubmitOperator"
    ]
    ran = sorted((task["start_date"], task["end_date"], task["task_id"]) for task in jobs if task["duration"])
    assert [name for _, _, name in ran] == [*("prepare", "score") * 3, "recommend"]
    assert all(earlier[1] < later[0] for earlier, later in pairwise(ran))


def test_only_the_newest_night_recommends(nights: Airflow) -> None:
    states = [nights.tasks(date)["recommend"]["state"] for date in DATES]
    assert states == ["skipped", "skipped", "success"]
    assert len(outcomes(FOLDERS["recommendations"])) == 1
    assert len(table(FOLDERS["recommendations"], "user_id, rank")) == 40 * 10


def test_a_finished_date_that_is_run_again_stays_as_it_is(nights: Airflow) -> None:
    before = version(FOLDERS["scores"])
    again = {"dag_run_id": nights.runs()[DATES[0]]["dag_run_id"], "dry_run": False, "only_failed": False}
    nights.ask("/api/v2/dags/movierate_nightly/clearTaskInstances", again)
    nights.wait(lambda: nights.tasks(DATES[0])["score"]["try_number"] == 2, "a second try", seconds=LONGEST)
    nights.wait(lambda: nights.runs()[DATES[0]]["state"] == "success", "the end", seconds=LONGEST)
    assert outcomes(FOLDERS["scores"])[-1] == (DATES[0], "unchanged")
    assert version(FOLDERS["scores"]) == before
