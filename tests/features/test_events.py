"""What an event adds to the totals is the same, whether Spark or a task computes it."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
from pyspark.sql import SparkSession

from movierate_spark.features.events import SUMS, added, added_in_task

AT = datetime(2000, 5, 1, tzinfo=UTC)


def test_a_task_adds_what_spark_adds(spark: SparkSession) -> None:
    rows = [
        (AT, 5.0, None, None),
        (AT, 3.5, None, None),
        (AT, 3.25, 4.0, None),  # 3.25 stars are 33 tenths
        (AT, 4.0, 0.5, None),
        (AT, 2.0, None, AT),
        (AT, None, None, None),
    ]
    schema = "at timestamp, rating double, replaced double, withdrawn_at timestamp"
    frame = spark.createDataFrame(rows, schema)
    by_spark = [tuple(row) for row in frame.select(*(c.alias(n) for n, c in added(4.0).items())).collect()]
    in_task = added_in_task(frame.toArrow(), SUMS, min_rating=4.0)
    assert list(zip(*(values.tolist() for values in in_task), strict=True)) == by_spark
    assert by_spark == [
        (1, 50, 1, 2500),
        (1, 35, 0, 1225),
        (0, -7, -1, 33 * 33 - 1600),
        (0, 35, 1, 1575),
        (0, 0, 0, 0),
        (0, 0, 0, 0),
    ]


def test_a_row_of_totals_adds_its_own() -> None:
    rows = pa.table(
        {
            "at": pa.array([None, AT], pa.timestamp("us", "UTC")),
            "withdrawn_at": pa.array([None, None], pa.timestamp("us", "UTC")),
            "rating": pa.array([None, 4.0]),
            "replaced": pa.array([None, None], pa.float64()),
            "n": pa.array([7, None], pa.int64()),
        }
    )
    assert [values.tolist() for values in added_in_task(rows, ["n"], min_rating=4.0)] == [[7, 1]]
