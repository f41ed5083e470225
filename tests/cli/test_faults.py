"""Runs that are killed, and what is readable afterwards; the slow ones run with `make faults`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest
from deliveries import write
from deltalake import DeltaTable
from helpers import INTERPRETED, SHORT_LIVED, Movierate
from killing import killed_at
from pyspark.sql import SparkSession

from movierate_spark import schemas
from movierate_spark.cli.failures import ENDED
from movierate_spark.storage.tables import is_delta_table, read_table

FIRST = date(2000, 10, 1)
DATES = 30
COMMAND = "import sys; from movierate_spark.cli import main; main(sys.argv[1:])"


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """Small and quick: one core is left for the tests' own session."""
    properties = "\n".join(f'"{name}" = "{value}"' for name, value in (INTERPRETED | SHORT_LIVED).items())
    (tmp_path / "small.toml").write_text(
        f'[score]\ndates_at_once = 4\n[spark]\ncores = "2"\ndriver_memory = "1g"\n[spark.properties]\n'
        f'"spark.sql.shuffle.partitions" = "2"\n{properties}\n'
    )
    return tmp_path / "small.toml"


@pytest.fixture
def home(plain_home: Path) -> Path:
    """What is tested here is the same for every model: the one that scores fastest will do."""
    return plain_home


def arguments(home: Path, requests: object, scores: Path, config: Path, days: Sequence[object]) -> list[str]:
    inputs = ("--lake", home / "lake", "--model", home / "model", "--requests", requests, "--scores", scores)
    return [str(part) for part in ("score", *inputs, *days, "--config", config)]


def rows(spark: SparkSession, scores: Path) -> list[tuple[object, ...]]:
    """The scores; none where there is no table yet."""
    if not is_delta_table(scores):
        return []
    table = read_table(spark, scores, schemas.SCORES)
    return sorted(tuple(row) for row in table.drop("reasons").collect())


def rejected(spark: SparkSession, scores: Path) -> list[tuple[object, ...]]:
    """The rejected requests; none where there is no table yet."""
    if not is_delta_table(scores / "_rejected"):
        return []
    table = read_table(spark, scores / "_rejected", schemas.REJECTED_REQUESTS)
    return sorted(tuple(row) for row in table.select("run_date", "rule", "raw").collect())


# Where a run is killed, and how many of its tables it has published: first the rejected, then the scores.
STEPS = [
    pytest.param(("commit", "after", 1), 1, id="between the two commits", marks=pytest.mark.end_to_end),
    pytest.param(("attempt_to_write", "before", 2), 0, id="before the scores", marks=pytest.mark.faults),
    pytest.param(("commit", "before", 1), 0, id="before the first commit", marks=pytest.mark.faults),
    pytest.param(("commit", "before", 2), 1, id="before the second commit", marks=pytest.mark.faults),
    pytest.param(("commit", "after", 2), 2, id="after the second commit", marks=pytest.mark.faults),
]


@pytest.mark.parametrize(
    "is_new",
    [
        pytest.param(False, id="of a table"),
        pytest.param(True, id="of a new table", marks=pytest.mark.faults),
    ],
)
@pytest.mark.parametrize(("step", "published"), STEPS)
def test_a_run_killed_while_publishing_leaves_the_old_scores_and_can_be_run_again(
    spark: SparkSession,
    movierate: Movierate,
    home: Path,
    settings_file: Path,
    tmp_path: Path,
    step: Sequence[object],
    published: int,
    is_new: bool,
) -> None:
    old, new, scores = tmp_path / "old.csv", tmp_path / "new.csv", tmp_path / "scores"
    write(old, ["user_id,movie_id", "1,2", "3,4", "x,9"])
    write(new, ["user_id,movie_id", "5,6", "y,9"])
    day = ("--run-date", FIRST)
    if not is_new:
        assert movierate(*arguments(home, old, scores, settings_file, day)).status == 0
    before = rows(spark, scores), rejected(spark, scores)
    killed_at(step, arguments(home, new, scores, settings_file, day))
    after = rows(spark, scores), rejected(spark, scores)
    again = movierate(*arguments(home, new, scores, settings_file, day))
    assert again.status == 0, again.err
    assert ("unchanged" in again.out) == (published == 2)
    expected = rows(spark, scores), rejected(spark, scores)
    assert after[0] == (expected if published == 2 else before)[0]
    assert after[1] == (expected if published >= 1 else before)[1]
    assert [row[:2] for row in expected[0]] == [(5, 6)]
    assert [row[2] for row in expected[1]] == ["y,9"]


# Runs explore, which does something else once Spark has started.
BROKEN = """
import os, signal, sys
from pyspark.sql import functions as F
from movierate_spark import cli
from movierate_spark.workflows import explore
def out_of_memory(lake, *_, **__):
    spark = lake.ratings.sparkSession
    spark.range(200_000_000).agg(F.collect_list("id").alias("ids")).select(F.size("ids")).collect()
def killed(lake, *_, **__):
    spark = lake.ratings.sparkSession
    os.kill(spark.sparkContext._gateway.proc.pid, signal.SIGKILL)
    spark.range(1).count()
explore.explore_lake = globals()[sys.argv[1]]
cli.main(sys.argv[2:])
"""


@pytest.mark.faults
@pytest.mark.parametrize("what", ["out_of_memory", "killed"])
def test_a_run_whose_spark_ends_says_so_in_one_line(
    home: Path, settings_file: Path, tmp_path: Path, what: str
) -> None:
    explore = ("explore", "--lake", home / "lake", "--out", tmp_path / "out", "--config", settings_file)
    run = subprocess.run(
        [sys.executable, "-c", BROKEN, what, *map(str, explore)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.endswith(f"movierate explore: {ENDED}\n")
    assert "Traceback" not in run.stderr


def finished_dates(scores: Path) -> int:
    if not is_delta_table(scores):
        return 0
    files = DeltaTable(str(scores)).file_uris()
    return len({part for file in files for part in Path(file).parts if part.startswith("run_date=")})


def killed_after(dates: int, *, delay: float, words: Sequence[str], scores: Path) -> None:
    """Start a run and kill it a little after so many dates have been published."""
    run = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while finished_dates(scores) < dates:
        assert run.poll() is None, "it ended before it could be killed"
        time.sleep(0.1)
    time.sleep(delay)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


@pytest.mark.faults
def test_a_backfill_killed_three_times_ends_with_the_rows_of_one_clean_run(
    spark: SparkSession,
    movierate: Movierate,
    home: Path,
    settings_file: Path,
    tmp_path: Path,
) -> None:
    draw = random.Random(4)
    folder, scores, clean = tmp_path / "requests", tmp_path / "scores", tmp_path / "clean"
    days = [FIRST + timedelta(days=i) for i in range(DATES)]
    for day in days:
        pairs = [f"{draw.randint(1, 45)},{draw.randint(1, 32)}" for _ in range(draw.randint(0, 9))]
        write(folder / f"{day}.csv", ["user_id,movie_id", *pairs, "x,1"])
    dates = ("--from", days[0], "--to", days[-1])
    backfill = arguments(home, folder / "{date}.csv", scores, settings_file, dates)
    for done in (3, 11, 20):
        killed_after(done, delay=draw.uniform(0, 2), words=backfill, scores=scores)
    last = movierate(*backfill)
    assert last.status == 0, last.err
    assert last.out.count(": unchanged") >= 20
    assert movierate(*arguments(home, folder / "{date}.csv", clean, settings_file, dates)).status == 0
    assert rows(spark, scores) == rows(spark, clean)
    assert len(rows(spark, scores)) > 60
    left, expected = rejected(spark, scores), rejected(spark, clean)
    assert left == expected
    assert len(left) == DATES
