from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession
from s3_in_hadoop import reached
from servers import S3Server, s3_server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Iterator[S3Server]:
    """A server like S3 with an empty bucket, which the session can reach."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server, reached(spark, server):
        yield server
