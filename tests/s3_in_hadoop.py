"""Hadoop's configuration of the tests' session, pointed to a server like S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession
from servers import S3Server

from movierate_spark.storage.locations import object_store


@contextmanager
def reached(spark: SparkSession, server: S3Server) -> Iterator[S3Server]:
    """The server, as the session's Hadoop configuration has its address and keys."""
    configuration = spark._jsc.hadoopConfiguration()  # type: ignore[attr-defined]
    properties = {
        name.removeprefix("spark.hadoop."): value
        for name, value in server.spark_properties.items()
        if name.startswith("spark.hadoop.")
    }
    before = {name: configuration.get(name) for name in properties}
    forget()
    for name, value in properties.items():
        configuration.set(name, value)
    try:
        yield server
    finally:
        for name, value in before.items():
            configuration.unset(name) if value is None else configuration.set(name, value)
        forget()


def forget() -> None:
    """Clients and what they have found out belong to a server."""
    object_store._store_of.cache_clear()
    object_store._CHECKED.clear()
