from __future__ import annotations

import pytest
from pyspark.sql import SparkSession
from taste_timeline import Study, rows, study


@pytest.fixture(scope="session")
def learnt(spark: SparkSession) -> Study:
    """What is learnt from the small timeline, once for all tests."""
    return study(spark, rows())
