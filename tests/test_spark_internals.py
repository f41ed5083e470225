from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from movierate_spark.spark_internals import in_uris, is_spark_throwable


def test_paths_are_written_as_spark_writes_those_of_its_rows(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "é 100% [a]+b.txt"
    path.write_text("x\n")
    row = spark.read.text(str(tmp_path)).select("_metadata.file_path").head()
    assert row is not None
    assert row["file_path"].endswith(in_uris(spark, [path])[0])


def test_spark_s_errors_are_told_from_java_s(spark: SparkSession) -> None:
    jvm = spark._jvm
    assert jvm is not None
    assert is_spark_throwable(jvm.org.apache.spark.SparkException("x"))
    assert not is_spark_throwable(jvm.java.lang.IllegalStateException("x"))
