"""Airflow's servers and what they answer."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import psutil
from conftest import AIRFLOW

DAG_RUNS = "/api/v2/dags/movierate_nightly/dagRuns"
COMPONENTS = (
    ("api-server", "--workers", "1"),
    ("dag-processor",),
    ("scheduler", "--skip-serve-logs"),  # its server of logs would listen on every address
)


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Airflow:
    """The API's server, the DAG processor and a scheduler that runs tasks itself, on 127.0.0.1 only."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self.dags = folder / "dags"
        self.logs = folder / "logs"
        self.environment = {
            **os.environ,
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            **environment,
        }
        self.token = ""
        self.processes: list[psutil.Popen] = []
        self.dags.mkdir(parents=True)
        self.logs.mkdir()

    def start(self) -> None:
        """Start everything, and wait until the API answers."""
        subprocess.run([AIRFLOW, "db", "migrate"], env=self.environment, check=True, capture_output=True)
        for component in COMPONENTS:
            with (self.logs / f"{component[0]}.log").open("w") as log:
                process = psutil.Popen(
                    [str(AIRFLOW), *component], env=self.environment, cwd=self.folder, stdout=log, stderr=log
                )
            self.processes.append(process)
        self.wait(self._is_up, "Airflow's API", seconds=180)

    def _is_up(self) -> bool:
        try:
            self.token = self.ask("/auth/token")["access_token"]
        except URLError:
            return False
        return True

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the API answers to a GET, or to a POST of ``body``."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))

    def runs(self) -> dict[str, dict[str, Any]]:
        """The runs of the DAG by date."""
        return {run["logical_date"][:10]: run for run in self.ask(DAG_RUNS)["dag_runs"]}

    def tasks(self, date: str) -> dict[str, dict[str, Any]]:
        """The tasks of a date's run by name; none before there is such a run."""
        run = self.runs().get(date)
        if run is None:
            return {}
        answer = self.ask(f"{DAG_RUNS}/{run['dag_run_id']}/taskInstances")
        return {task["task_id"]: task for task in answer["task_instances"]}

    def wait(self, has_come: Callable[[], bool], what: str, *, seconds: int) -> None:
        """Wait for an event; where it does not come, or a server ends, say what the logs say."""
        last = time.monotonic() + seconds
        while not has_come():
            ended = [" ".join(each.args) for each in self.processes if each.poll() is not None]
            if ended or time.monotonic() > last:
                raise AssertionError(f"{what} has not come; ended: {ended}\n{self.last_lines()}")
            time.sleep(1)

    def last_lines(self) -> str:
        """The last lines of every log."""
        logs = sorted(self.logs.rglob("*.log"))
        return "\n".join(f"{log}:\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def stop(self) -> None:
        """End what was started, and what that has started."""
        running = [each for each in self.processes if each.is_running()]
        children = [child for each in running for child in each.children(recursive=True)]
        for process in running:
            process.terminate()
        _, alive = psutil.wait_procs([*running, *children], timeout=30)
        for process in alive:
            process.kill()
