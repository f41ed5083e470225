"""Thirty nights, each killed once at a random moment: run with `make faults`."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from comparison import local, rows
from deliveries import write
from pyspark.sql import SparkSession

from movierate_spark import schemas

pytestmark = pytest.mark.faults
NIGHTS = 30
DAY = "2030-01-01"
ONE_FIT = "[train]\nreg_param = [0.01]\nelastic_net_param = [0.0]\nfolds = 2\n"
EARLIEST_S = 2.0


def add(home: Path, night: int, *, killed_after: float | None = None) -> float:
    """Add a night's delivery, or kill the run if it takes longer; returns its seconds."""
    movierate = Path(sys.executable).with_name("movierate")
    began = time.monotonic()
    run = subprocess.Popen(
        [movierate, "prepare", "--input", home / f"night {night}", "--lake", home / "nights", "--add"],
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, output = run.communicate(timeout=killed_after)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGKILL)
        run.communicate()
        return time.monotonic() - began
    assert run.returncode == 0, output
    return time.monotonic() - began


def deliver(home: Path) -> None:
    """The ratings of a simulation, oldest first, as a base of two thirds and a delivery for each night."""
    lines = (home / "all" / "ratings.dat").read_text().splitlines()
    lines.sort(key=lambda line: int(line.rpartition("::")[2]))
    cut = len(lines) * 2 // 3
    late = random.Random(2)
    of_night: list[list[str]] = [[] for _ in range(NIGHTS)]
    for number, line in enumerate(lines[cut:]):
        night = number * NIGHTS // (len(lines) - cut)
        of_night[min(night + (late.random() < 0.02) * late.randint(1, 5), NIGHTS - 1)].append(line)
    write(home / "base" / "ratings.dat", lines[:cut])
    for name in ("users.dat", "movies.dat"):
        (home / "base" / name).write_bytes((home / "all" / name).read_bytes())
    for night, ratings in enumerate(of_night):
        write(home / f"night {night}" / "ratings.dat", ratings)


def test_thirty_nights_that_are_each_killed_once_leave_what_one_delivery_leaves(
    spark: SparkSession, tmp_path: Path
) -> None:
    simulate = ("--ratings", 9_000, "--seed", 5, "--re-ratings", 0.05)
    local(tmp_path, "simulate", "--out", tmp_path / "all", *simulate)
    deliver(tmp_path)
    local(tmp_path, "prepare", "--input", "all", "--lake", "whole")
    local(tmp_path, "prepare", "--input", "base", "--lake", "nights")
    chance, usual = random.Random(3), 15.0
    for night in range(NIGHTS):
        add(tmp_path, night, killed_after=chance.uniform(EARLIEST_S, max(usual, EARLIEST_S)))
        usual = add(tmp_path, night)
    for name in ("ratings", "users", "movies"):
        lakes = (rows(spark, tmp_path / lake / name, schemas.LAKE[name]) for lake in ("nights", "whole"))
        assert next(lakes) == next(lakes)
    (tmp_path / "one.toml").write_text(ONE_FIT)
    local(tmp_path, "train", "--lake", "whole", "--model", "model", "--config", "one.toml")
    pairs = [f"{user},{movie}" for user in range(1, 50) for movie in range(1, 1000, 13)]
    write(tmp_path / "requests.csv", ["user_id,movie_id", *pairs])
    scores = ("--model", "model", "--requests", "requests.csv", "--run-date", DAY)
    for lake in ("nights", "whole"):
        local(tmp_path, "score", "--lake", lake, "--scores", f"scores of {lake}", *scores)
    tables = [rows(spark, tmp_path / f"scores of {lake}", schemas.SCORES) for lake in ("nights", "whole")]
    assert len(tables[0]) == len(pairs)
    assert tables[0] == tables[1]
