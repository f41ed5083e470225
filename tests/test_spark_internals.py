from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyspark.sql import SparkSession

from movierate_spark.session import broadcast
from movierate_spark.spark_internals import in_uris, is_spark_throwable, release
from movierate_spark.storage.locations import uri_of


def test_paths_are_written_as_spark_writes_those_of_its_rows(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "é 100% [a]+b.txt"
    path.write_text("x\n")
    row = spark.read.text(str(tmp_path)).select("_metadata.file_path").head()
    assert row is not None
    assert row["file_path"].endswith(in_uris(spark, [uri_of(path)])[0])


def test_spark_s_errors_are_told_from_java_s(spark: SparkSession) -> None:
    jvm = spark._jvm
    assert jvm is not None
    assert is_spark_throwable(jvm.org.apache.spark.SparkException("x"))
    assert not is_spark_throwable(jvm.java.lang.IllegalStateException("x"))


def test_a_released_broadcast_is_read_again_by_driver_and_workers(spark: SparkSession) -> None:
    value = broadcast(spark, [1, 2])

    def read_twice(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        first = value.value
        release(value)
        yield pa.RecordBatch.from_pydict({"equal": [value.value == first], "same": [value.value is first]})

    row = spark.range(1).mapInArrow(read_twice, "equal boolean, same boolean").first()
    assert row is not None
    assert (row["equal"], row["same"]) == (True, False)
    first = value.value
    release(value)
    assert value.value == first
    assert value.value is not first
