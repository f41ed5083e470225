"""Spark sessions: only this module builds them."""

from __future__ import annotations

import math
import os
import pickle
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyspark
from pyspark import Broadcast, SparkConf
from pyspark.sql import DataFrame, SparkSession

from movierate_spark import spark_internals
from movierate_spark.config import conf_dir
from movierate_spark.errors import InputError

START_UP_NOISE = (
    b"WARNING: Using incubator modules",
    b"Setting default log level to",
    b"To adjust logging level use",
    b"netlib-blas: JNI_OnLoad",
)

UTC_NAMES = ("UTC", "Etc/UTC", "Z", "+00:00", "GMT", "Etc/GMT")
SPARK_VERSIONS = ("4.1", "4.2", "4.3")
"""What the jobs run on; pyproject.toml allows the same of PySpark."""

OVERHEADS = (
    "spark.executor.memoryOverhead",
    "spark.executor.memoryOverheadFactor",
    "spark.kubernetes.memoryOverheadFactor",
)
PYTHON_MIB, PYTHON_MIB_PER_MILLION_ROWS = 100, 1_100
"""Memory of a Python worker that computes history: idle, and for the rows of its task."""
DYNAMIC_CORES = 256
TASTE_MIB = 1_000
"""Memory of a Python worker that learns which movies are neighbours, however few rows a task may have."""


Value = TypeVar("Value")


@dataclass(frozen=True)
class InBytes:
    """A value that is pickled as a single bytes object, and is itself again when it is read."""

    value: Any

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (pickle.dumps(self.value, pickle.HIGHEST_PROTOCOL),)


def broadcast(spark: SparkSession, value: Value) -> Broadcast[Value]:
    """Send a value to every task that reads it, NumPy arrays included.

    Where Spark encrypts what it writes (``spark.io.encryption.enabled``), PySpark 4.1 can't pickle the
    buffers of large arrays: its ``ChunkedStream`` asks them for their ``len``.
    """
    return spark.sparkContext.broadcast(InBytes(value))  # type: ignore[arg-type]  # read as the value itself


@contextmanager
def persisted(rows: DataFrame) -> Iterator[DataFrame]:
    """The rows, cached during the block."""
    rows = rows.persist()
    try:
        yield rows
    finally:
        rows.unpersist()


def properties_in(file_name: str) -> dict[str, str]:
    """The Spark properties in a file of the settings folder, such as ``spark-defaults.conf``."""
    lines = (conf_dir() / file_name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return {name: value.strip() for name, value in pairs}


def build_session(app_name: str, properties: Mapping[str, str]) -> SparkSession:
    """Start Spark, or use the session that ``spark-submit`` has prepared.

    Properties given to ``spark-submit`` win over ``properties``, except the time zone, which is always UTC.
    Python workers use this interpreter unless ``PYSPARK_PYTHON`` is set.

    Raises:
        InputError: there is no Spark, or one of a version that can't run the jobs.
    """
    if problem := spark_problem(spark_version()):
        raise InputError(problem)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    defaults = properties_in("spark-defaults.conf")
    submitted = {
        name: value
        for name, value in submitted_properties().items()
        # These were not set by the user: values from our own defaults, and the job's file as the app's name.
        if defaults.get(name) != value and not (name == "spark.app.name" and value.endswith(".py"))
    }
    every = {"spark.app.name": app_name, **defaults, **properties}
    own = {name: value for name, value in every.items() if name not in submitted}
    builder = SparkSession.builder
    for name, value in own.items():
        builder = builder.config(name, value)
    with _without_start_up_noise():
        spark_internals.launch_jvm(own)
        return builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()


def check_time_zone(spark: SparkSession) -> None:
    """Refuse a session in which hours and days would not be those of UTC.

    Raises:
        InputError: its time zone is another one.
    """
    zone = spark.conf.get("spark.sql.session.timeZone")
    if zone not in UTC_NAMES:
        raise InputError(
            f"the session's time zone is {zone}: set spark.sql.session.timeZone to UTC, or use"
            " movierate_spark.local_session"
        )


def start_jvm(properties: Mapping[str, str]) -> None:
    """Start Spark's JVM with these properties, so that it can reach file systems, but no session yet."""
    with _without_start_up_noise():
        spark_internals.start_jvm(properties_in("spark-defaults.conf") | dict(properties))


def spark_home() -> Path:
    """The folder of the Spark that PySpark starts: ``SPARK_HOME``, or else the one it was installed with."""
    return Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)


def spark_version() -> str | None:
    """The version of the Spark that runs already, or else of that in :func:`spark_home`; None without any."""
    if (running := spark_internals.running_spark()) is not None:
        return running
    names = [jar.stem for jar in spark_home().glob("jars/spark-core_*.jar")]  # spark-core_2.13-4.3.0
    return names[0].split("-", 2)[2] if names else None


def spark_problem(version: str | None) -> str | None:
    """Why this Spark can't run the jobs, and what to do; None if it can.

    PySpark itself does not compare its version with Spark's: PySpark 4.3 starts Spark 4.2, and fails at the
    first function in Python. Only plain Python meets another version, through ``SPARK_HOME``, as
    ``spark-submit`` brings the PySpark of its Spark.
    """
    expected = _minor(pyspark.__version__)
    remedy = f"use the spark-submit of Spark {expected}, or set SPARK_HOME to its folder"
    if version is None:
        return f"no Spark in {spark_home()}: {remedy}"
    if _minor(version) not in SPARK_VERSIONS:
        return f"Spark {version} can't run the jobs: they need one of {', '.join(SPARK_VERSIONS)}"
    if _minor(version) != expected:
        return f"Spark {version} can't run PySpark {pyspark.__version__}: {remedy}"
    return None


def _minor(version: str) -> str:
    """Such as 4.3: releases with the same two numbers work together."""
    return ".".join(version.split(".")[:2])


@contextmanager
def _without_start_up_noise() -> Iterator[None]:
    """Filter the lines that Java and Spark print at every start from the JVM's standard error.

    The JVM inherits the pipe. A thread passes all other lines on.
    """
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # the JVM is running already
        yield
        return
    stderr = os.dup(2)
    read_end, write_end = os.pipe()
    os.dup2(write_end, 2)
    threading.Thread(target=_pass_on, args=(read_end, stderr), daemon=True).start()
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(write_end)


def _pass_on(source: int, target: int) -> None:
    with os.fdopen(source, "rb", buffering=0) as lines, os.fdopen(target, "wb", buffering=0) as out:
        for line in lines:
            if not line.startswith(START_UP_NOISE):
                out.write(line)


def submitted_properties() -> dict[str, str]:
    """The properties with which ``spark-submit`` started this driver's JVM; none in plain Python."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return {}
    spark_internals.ensure_jvm()
    return dict(SparkConf().getAll())


def is_driver_on_cluster() -> bool:
    """Whether ``spark-submit`` started this driver on the cluster, in cluster mode."""
    return submitted_properties().get("spark.submit.deployMode") == "cluster"


def memory_overhead(properties: Mapping[str, str], *, task_max_rows: int, uses_taste: bool) -> dict[str, str]:
    """The property for the memory that an executor needs beside its heap; empty if it is set already.

    YARN and Kubernetes kill a container that uses more than heap and overhead. Besides the JVM, each core
    runs a Python worker, which holds the rows of a task. Spark's default (a tenth of the heap, at least 384
    MiB) is enough for the JVM only. Other cluster managers ignore the property.
    """
    if any(name in properties for name in OVERHEADS):
        return {}
    cores = int(properties.get("spark.executor.cores", "1"))
    jvm_mib = max(384, mebibytes(properties.get("spark.executor.memory", "1g")) // 10)
    task_mib = math.ceil(PYTHON_MIB_PER_MILLION_ROWS * task_max_rows / 1_000_000)
    worker_mib = PYTHON_MIB + max(task_mib, TASTE_MIB if uses_taste else 0)
    least_mib = mebibytes(properties.get("spark.executor.minMemoryOverhead", "0"))
    return {OVERHEADS[0]: f"{max(jvm_mib + cores * worker_mib, least_mib)}m"}


def mebibytes(size: str) -> int:
    """A memory size in Spark's notation (``4g``, ``512m``; without a unit MiB) in MiB.

    Raises:
        InputError: the text is not in that notation.
    """
    match = re.fullmatch(r"\s*(\d+)\s*([kmgt]?)b?\s*", size.lower())
    if not match:
        raise InputError(f"{size} as a memory of executors: give a size as 4g or 4096m")
    number, unit = int(match[1]), match[2]
    return number // 1024 if unit == "k" else number * {"": 1, "m": 1, "g": 1024, "t": 1024**2}[unit]


def expected_cores(spark: SparkSession) -> int:
    """The number of cores that Spark will have when all executors have started, as far as settings tell.

    Executors start one after the other, and under dynamic allocation only when there is work, so those
    registered so far may be fewer.
    """
    context = spark.sparkContext
    now = context.defaultParallelism
    if re.match(r"local(\[|$)", context.master or ""):  # settings for executors have no effect there
        return now
    return max(cores_in(dict(context.getConf().getAll())), now)


def cores_in(properties: Mapping[str, str]) -> int:
    """The number of cores of all executors together that the settings promise; 0 if they promise none.

    Dynamic allocation has a limit that may be far above what the cluster has, such as Dataproc's 10,000
    executors: at most :data:`DYNAMIC_CORES` count.
    """
    is_dynamic = properties.get("spark.dynamicAllocation.enabled", "false") == "true"
    name = "spark.dynamicAllocation.maxExecutors" if is_dynamic else "spark.executor.instances"
    cores = int(properties.get(name, "0")) * int(properties.get("spark.executor.cores", "1"))
    if is_dynamic:
        cores = min(cores, DYNAMIC_CORES)
    limit = int(properties.get("spark.cores.max", "0"))
    return min(cores, limit) if cores and limit else max(cores, limit)


def local_properties(*, cores: str, driver_memory: str) -> dict[str, str]:
    """Spark properties for a run on one machine: little logging, and no access from the network."""
    log_settings = f"-Dlog4j2.configurationFile={(conf_dir() / 'log4j2.properties').as_uri()}"
    return {
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": driver_memory,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"-XX:+UseParallelGC {log_settings}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
