from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from movierate_spark.session import build_session, local_properties

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One session for all tests: few shuffle partitions, as the frames are small."""
    properties = local_properties(cores="2", driver_memory="3g") | {"spark.sql.shuffle.partitions": "4"}
    session = build_session("tests", properties)
    yield session
    session.stop()
