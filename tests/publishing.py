"""A table with a number a row, and what it holds."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from deltalake import Transaction
from pyspark.sql import SparkSession
from pyspark.sql.types import DateType, LongType, StructField, StructType

from movierate_spark.storage.attempts import Attempt, attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.opened_table import OpenedTable
from movierate_spark.storage.tables import read_table

DATED = StructType([StructField("x", LongType()), StructField("run_date", DateType())])
PLAIN = StructType([StructField("x", LongType())])
FIRST, SECOND = date(2000, 1, 1), date(2000, 1, 2)


def publish(
    spark: SparkSession, path: Path, x: int | None, day: date | None = FIRST, to: OpenedTable | None = None
) -> Attempt:
    schema = DATED if day else PLAIN
    rows = [] if x is None else [(x, day) if day else (x,)]
    with attempt_to_write(spark.createDataFrame(rows, schema), path, schema, run_date=day) as attempt:
        transaction = Transaction(f"test/{day}", x or 0) if day else None
        commit(attempt, to=to, transaction=transaction)
    return attempt


def content(spark: SparkSession, path: Path, schema: StructType = DATED) -> set[tuple[object, ...]]:
    return {tuple(row) for row in read_table(spark, path, schema).collect()}
