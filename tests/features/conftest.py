from __future__ import annotations

import pytest
from deliveries import START, ml_1m, write
from helpers import DAY
from pyspark.sql import SparkSession
from taste_timeline import Study, rows, study

import movierate_spark as mr
from movierate_spark.storage.lake import Lake


@pytest.fixture(scope="session")
def learnt(spark: SparkSession) -> Study:
    """What is learnt from the small timeline, once for all tests."""
    return study(spark, rows())


@pytest.fixture(scope="session")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with a state: 6 users rated 12 movies before its end, and 3 of them rated 8 again after it."""
    home = tmp_path_factory.mktemp("state")
    rated = [(u, m, 1 + (u + m) % 5, START + DAY * u + m) for u in range(1, 7) for m in range(1, 13)]
    mr.prepare(spark, ml_1m(home / "input", rated), home / "lake")
    again = [f"{u}::{m}::3::{START + 20 * DAY + u * m}" for u in (1, 2, 3) for m in range(1, 9)]
    write(home / "day" / "ratings.dat", again)
    return mr.prepare(spark, home / "day", home / "lake", add=True)
