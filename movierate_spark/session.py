"""The one place that builds Spark."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession


def conf_dir() -> Path:
    """The shipped settings: beside the package in an installed wheel, at the top level in a checkout."""
    installed = Path(str(resources.files("movierate_spark"))) / "conf"
    return installed if installed.is_dir() else Path(__file__).resolve().parent.parent / "conf"


def default_properties() -> dict[str, str]:
    """Spark properties of ``conf/spark-defaults.conf``, by name."""
    lines = (conf_dir() / "spark-defaults.conf").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return {name: value.strip() for name, value in pairs}


def build_session(app_name: str, properties: Mapping[str, str]) -> SparkSession:
    """Start Spark, or join the session that ``spark-submit`` has prepared.

    Properties that ``spark-submit`` was given win over ``properties``, but for the time zone: every
    time in this project is UTC. Python workers run on this interpreter unless told otherwise.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(app_name)
    submitted = submitted_properties()
    for name, value in {**default_properties(), **properties}.items():
        if name not in submitted:
            builder = builder.config(name, value)
    spark = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def submitted_properties() -> dict[str, str]:
    """Properties that this driver's JVM was started with by ``spark-submit``; none in a plain Python."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return {}
    return dict(SparkContext.getOrCreate().getConf().getAll())


def local_properties(*, cores: str, driver_memory: str) -> dict[str, str]:
    """Properties of a run on one machine, quiet and closed to the network."""
    quiet = f"-Dlog4j2.configurationFile={(conf_dir() / 'log4j2.properties').as_uri()}"
    return {
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": driver_memory,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": quiet,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
