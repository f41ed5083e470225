from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from deliveries import csv_without_users, ml_1m, ml_100k, write
from pyspark.sql import SparkSession

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.inputs.delivery import find_delivery


def test_formats_are_told_apart_by_their_file_names(tmp_path: Path, settings: Settings) -> None:
    folders = [ml_1m(tmp_path / "a"), ml_100k(tmp_path / "b"), csv_without_users(tmp_path / "c")]
    deliveries = [find_delivery(folder, format_name="auto", settings=settings.input) for folder in folders]
    assert [delivery.format.name for delivery in deliveries] == ["ml-1m", "ml-100k", "csv"]
    assert [set(delivery.paths) for delivery in deliveries][2] == {"ratings", "movies"}


def test_gzip_reads_like_the_plain_file(spark: SparkSession, tmp_path: Path, settings: Settings) -> None:
    folder = ml_1m(tmp_path / "plain")
    plain = find_delivery(folder, format_name="auto", settings=settings.input).read(spark, "movies").collect()
    text = (folder / "movies.dat").read_bytes()
    (folder / "movies.dat").unlink()
    (folder / "movies.dat.gz").write_bytes(gzip.compress(text))
    packed = (
        find_delivery(folder, format_name="auto", settings=settings.input).read(spark, "movies").collect()
    )
    assert [row["raw"] for row in packed] == [row["raw"] for row in plain]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "does not exist"),
        (lambda f: f.mkdir(), "it holds nothing"),
        (lambda f: write(f / "sales.xlsx", ["x"]), "it holds sales.xlsx"),
        (lambda f: (ml_1m(f), csv_without_users(f)), "files of ml-1m and csv"),
        (lambda f: (ml_1m(f) / "movies.dat").unlink(), "movies.dat is missing"),
        (lambda f: (ml_1m(f) / "ratings.dat").write_bytes(b""), r"ratings.dat is empty \(0 bytes\)"),
        (lambda f: write(ml_1m(f) / "ratings.dat.gz", ["x"]), "both ratings.dat and ratings.dat.gz"),
        (lambda f: f.write_text("x"), "is a file"),
    ],
)
def test_a_delivery_that_cannot_be_found_says_what_was(
    tmp_path: Path, settings: Settings, make: object, message: str
) -> None:
    folder = tmp_path / "input"
    make(folder)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        find_delivery(folder, format_name="auto", settings=settings.input)
