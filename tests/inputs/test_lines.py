from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.errors import InputError
from movierate_spark.inputs.lines import first_line, read_lines, whole


def test_lines_keep_blanks_and_come_as_text_whatever_their_encoding(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\xef\xbb\xbffirst\r\n\r\n \t\ncaf\xe9\ncaf\xc3\xa9\nlast without newline")
    rows = read_lines(spark, path).collect()
    assert [row["raw"] for row in rows] == ["first", "", " \t", "café", "café", "last without newline"]
    assert [row["first"] for row in rows] == [True, False, False, False, False, False]
    assert {row["source_file"] for row in rows} == {"lines.txt"}


def test_only_the_first_line_of_a_file_of_many_blocks_is_first(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("header\n" * 50_000)
    before = spark.conf.get("spark.sql.files.maxPartitionBytes")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "20000")
    try:
        lines = read_lines(spark, path)
        assert lines.rdd.getNumPartitions() > 4
        assert (lines.count(), lines.where("first").count()) == (50_000, 1)
    finally:
        spark.conf.set("spark.sql.files.maxPartitionBytes", before)


@pytest.mark.parametrize(
    "kind", ["cut off", "without its end", "changed", "followed by something", "no gzip"]
)
def test_a_damaged_gzip_is_noticed_by_whoever_reads_it_to_its_end(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    packed = gzip.compress("".join(f"{i},{i * i % 997}\n" for i in range(20_000)).encode())
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 4
    damaged = {"cut off": packed[: len(packed) * 9 // 10], "without its end": packed[:-1], "changed": flipped}
    damaged |= {"followed by something": packed + b"more", "no gzip": b"1,2\n"}
    path = tmp_path / "requests.csv.gz"
    path.write_bytes(damaged[kind])
    with (
        pytest.raises(InputError, match="gz: the gzip file is damaged or cut off: deliver it again"),
        whole(path),
    ):
        read_lines(spark, path).agg(F.count("*"), F.max("raw")).collect()
    for error in (ValueError("x"), OSError("x: a network that is down")):
        with pytest.raises(type(error), match="x"), whole(path):
            raise error


def test_the_first_line_is_that_of_the_lines(spark: SparkSession, tmp_path: Path) -> None:
    for content in (b"\xef\xbb\xbfa,b\r\n1,2", b"caf\xe9,b\r1,2\n", b"caf\xc3\xa9", b"\n1,2\n", b"a \n\n"):
        for path, written in ((tmp_path / "x.csv", content), (tmp_path / "x.csv.gz", gzip.compress(content))):
            path.write_bytes(written)
            (row,) = read_lines(spark, path).where("first").collect()
            assert first_line(path) == row["raw"]
