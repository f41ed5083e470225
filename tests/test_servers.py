"""The server like S3 does what the project relies on: writes on conditions, from Delta and from Spark."""

from __future__ import annotations

import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from servers import SPARK_HOME, Request, S3Server, s3_server

pytestmark = pytest.mark.cluster

MEGABYTE = 1 << 20
# Whoever signs, whatever the signature, is the bucket's owner.
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0",
    "Content-Type": "application/octet-stream",
}
# Objects of more than 5 MiB are sent in parts.
IN_PARTS = """
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
frame = spark.range(400_000).selectExpr("id", "uuid() as text").coalesce(1)
frame.write.parquet("s3a://bucket/large")
print(spark.read.parquet("s3a://bucket/large").selectExpr("sum(id)").first()[0])
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(started: S3Server) -> S3Server:
    started.clear()
    return started


def put(s3: S3Server, key: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """The status, and the object's tag if it was written."""
    address = f"{s3.url}/bucket/{urllib.parse.quote(key)}"
    request = urllib.request.Request(address, body, SIGNED | headers, method="PUT")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers["ETag"]
    except HTTPError as error:
        return error.code, ""


def test_what_it_was_asked_is_written_down(s3: S3Server) -> None:
    put(s3, "folder/a file", b"12345", {})
    listing = urllib.request.Request(f"{s3.url}/bucket?list-type=2&prefix=folder/", headers=SIGNED)
    urllib.request.urlopen(listing).close()
    written, listed = s3.requests()
    assert written == Request("PUT", "/bucket/folder/a file", "", 200, 5, 0)
    assert written.key == "folder/a file"
    assert (listed.method, listed.key, listed.query) == ("GET", "", "list-type=2&prefix=folder/")
    s3.clear()
    assert s3.requests() == []


@pytest.mark.parametrize("size", [1, 6 * MEGABYTE])
def test_of_many_that_create_an_object_one_does(s3: S3Server, size: int) -> None:
    def create(number: int) -> int:
        return put(s3, f"new{size}", bytes([number]) * size, {"If-None-Match": "*"})[0]

    with ThreadPoolExecutor(8) as many:
        statuses = sorted(many.map(create, range(16)))
    assert statuses == [200] + [412] * 15


def test_an_object_is_replaced_only_as_it_was_read(s3: S3Server) -> None:
    _, first = put(s3, "latest", b"1", {})
    status, second = put(s3, "latest", b"2", {"If-Match": first})
    assert status == 200
    assert put(s3, "latest", b"3", {"If-Match": first}) == (412, "")
    assert put(s3, "latest", b"3", {"If-Match": second})[0] == 200


def test_of_two_that_change_the_same_delta_table_one_fails(s3: S3Server) -> None:
    address = "s3://bucket/table"
    write_deltalake(address, pa.table({"value": [1, 2]}), storage_options=s3.storage_options)
    one, other = (DeltaTable(address, storage_options=s3.storage_options) for _ in range(2))
    one.delete("value = 1")
    with pytest.raises(CommitFailedError):
        other.delete("value = 1")
    left = DeltaTable(address, storage_options=s3.storage_options).to_pyarrow_table()
    assert left["value"].to_pylist() == [2]


def test_spark_writes_and_reads_objects_in_parts(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(IN_PARTS)
    properties = s3.spark_properties | {"spark.hadoop.fs.s3a.multipart.size": "5M"}
    options = [part for pair in properties.items() for part in ("--conf", "=".join(pair))]
    done = subprocess.run(
        [SPARK_HOME / "bin" / "spark-submit", "--master", "local[1]", *options, tmp_path / "job.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) == sum(range(400_000))
    assert len([request for request in s3.requests() if "partNumber" in request.query]) > 1
