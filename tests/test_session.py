"""What a cluster's settings mean for memory and tasks."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyspark
import pytest
from pyspark import SparkConf, SparkContext
from pyspark.serializers import ChunkedStream
from pyspark.sql import SparkSession

from movierate_spark import session, spark_internals
from movierate_spark.cli import main
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError
from movierate_spark.session import (
    SPARK_VERSIONS,
    InBytes,
    build_session,
    cores_in,
    mebibytes,
    memory_overhead,
    properties_in,
    spark_problem,
    spark_version,
)
from movierate_spark.storage.locations.credentials import hdfs_options


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        # The JVM's own share, and for each core a Python worker with a million rows.
        ({}, 384 + 1_200),
        ({"spark.executor.cores": "4", "spark.executor.memory": "8g"}, 819 + 4 * 1_200),
        ({"spark.executor.memory": "2048m"}, 384 + 1_200),
    ],
)
def test_an_executor_asks_for_the_memory_of_its_python_workers(
    properties: dict[str, str], expected: int
) -> None:
    overhead = memory_overhead(properties, task_max_rows=1_000_000, uses_taste=True)
    assert overhead == {"spark.executor.memoryOverhead": f"{expected}m"}


@pytest.mark.parametrize(("uses_taste", "worker"), [(False, 100 + 110), (True, 100 + 1_000)])
def test_smaller_tasks_ask_for_less_but_not_than_the_taste_tables_need(uses_taste: bool, worker: int) -> None:
    properties = {"spark.executor.cores": "2"}
    overhead = memory_overhead(properties, task_max_rows=100_000, uses_taste=uses_taste)
    assert overhead == {"spark.executor.memoryOverhead": f"{384 + 2 * worker}m"}


def test_an_overhead_that_is_given_stays() -> None:
    names = ("executor.memoryOverhead", "executor.memoryOverheadFactor", "kubernetes.memoryOverheadFactor")
    for name in names:
        assert memory_overhead({f"spark.{name}": "1"}, task_max_rows=1, uses_taste=True) == {}
    least = {"spark.executor.minMemoryOverhead": "8g"}
    assert memory_overhead(least, task_max_rows=1, uses_taste=True) == {
        "spark.executor.memoryOverhead": "8192m"
    }


@pytest.mark.parametrize(
    ("size", "expected"), [("4g", 4096), ("512m", 512), ("1024", 1024), ("2048k", 2), ("1T", 1024**2)]
)
def test_sizes_are_read_as_spark_writes_them(size: str, expected: int) -> None:
    assert mebibytes(size) == expected


def test_an_invalid_size_is_refused() -> None:
    with pytest.raises(InputError, match="lots as a memory of executors: give a size as 4g or 4096m"):
        mebibytes("lots")


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, 0),
        ({"spark.executor.instances": "3", "spark.executor.cores": "4"}, 12),
        ({"spark.executor.instances": "3", "spark.executor.cores": "4", "spark.cores.max": "8"}, 8),
        ({"spark.cores.max": "6"}, 6),
        ({"spark.dynamicAllocation.enabled": "true", "spark.executor.instances": "1"}, 0),
        ({**properties_in("yarn.conf"), "spark.executor.cores": "2"}, 16),
        # The limit of Dataproc is no promise.
        ({"spark.dynamicAllocation.enabled": "true", "spark.dynamicAllocation.maxExecutors": "10000"}, 256),
    ],
)
def test_there_are_as_many_tasks_as_expected_cores(properties: dict[str, str], expected: int) -> None:
    assert cores_in(properties) == expected


def written_for_encryption(value: Any) -> bytes:
    """What PySpark sends to the JVM, which encrypts it: frames, each after its length in four bytes."""
    stream, content = io.BytesIO(), b""
    stream.close, frames = lambda: None, ChunkedStream(stream, 8_192)  # type: ignore[method-assign]
    pickle.dump(value, frames, pickle.HIGHEST_PROTOCOL)
    frames.close()
    sent, at = stream.getvalue(), 0
    while (size := int.from_bytes(sent[at : at + 4], "big", signed=True)) >= 0:
        content, at = content + sent[at + 4 : at + 4 + size], at + 4 + size
    return content


def test_large_arrays_are_broadcast_where_spark_encrypts() -> None:
    value = {"weight": np.arange(100_000, dtype=np.float32), "titles": ("Heat (1995)", None)}
    read = pickle.loads(written_for_encryption(InBytes(value)))
    assert read["titles"] == value["titles"]
    assert np.array_equal(read["weight"], value["weight"])


def test_pyspark_itself_still_cannot_do_so() -> None:
    # When this fails, Spark has mended it, and InBytes can go.
    with pytest.raises(TypeError, match="PickleBuffer"):
        written_for_encryption(np.arange(100_000, dtype=np.float32))


@pytest.fixture
def no_jvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Spark has been started."""
    monkeypatch.setattr(spark_internals, "running_spark", lambda: None)


def test_the_version_is_that_of_the_spark_that_runs(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    assert spark_version() == spark.version


@pytest.mark.usefixtures("no_jvm")
def test_before_it_runs_the_version_is_that_of_its_jars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARK_HOME", raising=False)
    assert spark_version() == pyspark.__version__
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "spark-core_2.13-4.0.2-amzn-0.jar").touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    assert spark_version() == "4.0.2-amzn-0"


@pytest.mark.usefixtures("no_jvm")
def test_without_spark_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    with pytest.raises(InputError, match=f"no Spark in {tmp_path}: use the spark-submit of Spark 4"):
        build_session("none", {})


def test_spark_must_be_of_the_version_of_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyspark, "__version__", "4.2.1")
    for fine in ("4.2.1", "4.2.0", "4.2.1-amzn-0"):
        assert spark_problem(fine) is None
    remedy = "use the spark-submit of Spark 4.2, or set SPARK_HOME to its folder"
    assert spark_problem("4.3.0") == f"Spark 4.3.0 can't run PySpark 4.2.1: {remedy}"
    for other in ("4.0.2-amzn-0", "5.0.0"):
        assert spark_problem(other) == (
            f"Spark {other} can't run the jobs: they need one of {', '.join(SPARK_VERSIONS)}"
        )


@pytest.mark.parametrize(("mode", "starts"), [("client", 0), ("cluster", 1)])
def test_a_job_without_spark_starts_it_where_its_driver_runs_on_the_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str, starts: int
) -> None:
    """YARN ends a driver that has started no session as failed."""
    started = []

    @contextmanager
    def spark(self: Run) -> Iterator[None]:
        started.append(self.command)
        yield

    monkeypatch.setattr(Run, "profile", "cluster")
    monkeypatch.setattr(Run, "spark", spark)
    monkeypatch.setattr(session, "submitted_properties", lambda: {"spark.submit.deployMode": mode})
    with pytest.raises(SystemExit) as ended:
        main(["runs", str(tmp_path)], profile="cluster")
    assert (ended.value.code, started) == (2, ["runs"] * starts)  # nothing has run there
    with pytest.raises(SystemExit) as ended:
        main(["doctor"], profile="cluster")
    assert (ended.value.code, started[starts:]) == (0, ["doctor"] * starts)


SECRET, ENDPOINT = "spark.hadoop.fs.s3a.secret.key", "spark.hadoop.fs.s3a.endpoint"


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The properties with which a JVM would have been started."""
    properties: list[dict[str, str]] = []

    def start(*, conf: SparkConf | None = None) -> None:
        if conf is not None:
            properties.append(dict(conf.getAll()))

    monkeypatch.setattr(SparkContext, "_ensure_initialized", start)
    return properties


@pytest.mark.usefixtures("spark")
def test_before_a_session_the_jvm_has_secrets_but_not_on_its_command_line(
    launched: list[dict[str, str]],
) -> None:
    spark_internals.start_jvm({SECRET: "test", ENDPOINT: "test", "spark.executor.cores": "1"})
    assert launched == [{ENDPOINT: "test", "spark.executor.cores": "1"}]
    system = spark_internals.running_jvm().java.lang.System
    assert [system.clearProperty(name) for name in (SECRET, ENDPOINT)] == ["test", "test"]


@pytest.mark.usefixtures("spark")
def test_a_session_has_secrets_but_not_on_the_command_line_of_its_jvm(
    launched: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, str] = {}

    class Builder:
        def config(self, name: str, value: str) -> Builder:
            given[name] = value
            return self

        def getOrCreate(self) -> int:
            return len(launched)

    monkeypatch.setattr(session.SparkSession, "builder", Builder())
    assert build_session("test", {SECRET: "test", ENDPOINT: "test"}) == 1  # the JVM was started before
    assert (given[SECRET], given[ENDPOINT], launched[0][ENDPOINT]) == ("test", "test", "test")
    assert SECRET not in launched[0]


@pytest.mark.usefixtures("spark")
def test_the_user_of_hdfs_is_sparks(monkeypatch: pytest.MonkeyPatch) -> None:
    user = spark_internals.running_jvm().org.apache.hadoop.security.UserGroupInformation.getCurrentUser()
    monkeypatch.delenv("HADOOP_USER_NAME", raising=False)
    monkeypatch.setattr(os, "environ", {**os.environ})
    hdfs_options()
    assert os.environ["HADOOP_USER_NAME"] == user.getShortUserName()
