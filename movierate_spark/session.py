"""The one place that builds Spark."""

from __future__ import annotations

import math
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark import SparkConf
from pyspark.sql import SparkSession

from movierate_spark.config import conf_dir
from movierate_spark.errors import InputError
from movierate_spark.spark_internals import ensure_jvm

START_UP_NOISE = (
    b"WARNING: Using incubator modules",
    b"Setting default log level to",
    b"To adjust logging level use",
    b"netlib-blas: JNI_OnLoad",
)


PYTHON_MIB, PYTHON_MIB_PER_MILLION_ROWS = 100, 1_100
"""What a Python worker that makes history takes: at rest, and for the rows of its task."""


def properties_in(name: str) -> dict[str, str]:
    """Spark properties of one of the shipped files (``spark-defaults.conf``), by name."""
    lines = (conf_dir() / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return {name: value.strip() for name, value in pairs}


def build_session(app_name: str, properties: Mapping[str, str]) -> SparkSession:
    """Start Spark, or join the session that ``spark-submit`` has prepared.

    Properties that ``spark-submit`` was given win over ``properties``, but for the time zone: every
    time in this project is UTC. Python workers run on this interpreter unless told otherwise.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    defaults = properties_in("spark-defaults.conf")
    submitted = {
        name: value
        for name, value in submitted_properties().items()
        # Nobody has given what spark-submit took from our own file, nor the job's file as a name.
        if defaults.get(name) != value and not (name == "spark.app.name" and value.endswith(".py"))
    }
    builder = SparkSession.builder
    for name, value in {"spark.app.name": app_name, **defaults, **properties}.items():
        if name not in submitted:
            builder = builder.config(name, value)
    with _without_start_up_noise():
        return builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()


@contextmanager
def _without_start_up_noise() -> Iterator[None]:
    """Keep two lines that Java and Spark print at every start off the JVM's standard error.

    The JVM inherits the pipe and keeps it; a thread passes everything else on as it comes.
    """
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # the JVM is up already
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
    """Properties that this driver's JVM was started with by ``spark-submit``; none in a plain Python."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return {}
    ensure_jvm()
    return dict(SparkConf().getAll())


def memory_overhead(properties: Mapping[str, str], *, task_max_rows: int) -> dict[str, str]:
    """What an executor needs beside its heap, in MiB, as a property; empty where it is given already.

    YARN and Kubernetes kill a container that takes more than heap and overhead. Beside the JVM each core runs
    a Python worker, which holds the rows of a task; Spark's default (a tenth of the heap, at least 384 MiB)
    is for the JVM alone. Other clusters do not read it.
    """
    names = ("spark.executor.memoryOverhead", "spark.executor.memoryOverheadFactor")
    if any(name in properties for name in names):
        return {}
    cores = int(properties.get("spark.executor.cores", "1"))
    of_jvm = max(384, mebibytes(properties.get("spark.executor.memory", "1g")) // 10)
    of_worker = PYTHON_MIB + math.ceil(PYTHON_MIB_PER_MILLION_ROWS * task_max_rows / 1_000_000)
    return {names[0]: f"{of_jvm + cores * of_worker}m"}


def mebibytes(size: str) -> int:
    """A size of memory as Spark writes it (``4g``, ``512m``; without a unit MiB) in MiB.

    Raises:
        InputError: it is no such size.
    """
    found = re.fullmatch(r"\s*(\d+)\s*([kmgt]?)b?\s*", size.lower())
    if not found:
        raise InputError(f"spark.executor.memory {size}: give a size as 4g or 4096m")
    number, unit = int(found[1]), found[2]
    return number // 1024 if unit == "k" else number * {"": 1, "m": 1, "g": 1024, "t": 1024**2}[unit]


def expected_cores(spark: SparkSession) -> int:
    """The cores that Spark has once its executors are there, as far as its settings tell.

    Executors come one after the other, and under dynamic allocation when there is work: those that have
    registered by now are no measure of what is to come.
    """
    context = spark.sparkContext
    by_settings = cores_in(dict(context.getConf().getAll()))
    return max(by_settings, context.defaultParallelism)


def cores_in(properties: Mapping[str, str]) -> int:
    """The most cores that executors of such settings have together; 0 where they do not tell."""
    is_dynamic = properties.get("spark.dynamicAllocation.enabled", "false") == "true"
    most = "spark.dynamicAllocation.maxExecutors" if is_dynamic else "spark.executor.instances"
    together = int(properties.get(most, "0")) * int(properties.get("spark.executor.cores", "1"))
    at_most = int(properties.get("spark.cores.max", "0"))
    return min(together, at_most) if together and at_most else max(together, at_most)


def local_properties(*, cores: str, driver_memory: str) -> dict[str, str]:
    """Properties of a run on one machine, quiet and closed to the network."""
    quiet = f"-Dlog4j2.configurationFile={(conf_dir() / 'log4j2.properties').as_uri()}"
    return {
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": driver_memory,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"-XX:+UseParallelGC {quiet}",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
