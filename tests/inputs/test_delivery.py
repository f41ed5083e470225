from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chispa import assert_column_equality
from deliveries import csv_without_users, ml_1m, ml_100k, write
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.inputs.delivery import csv_fields, find_delivery, first_line, read_lines, whole
from movierate_spark.inputs.requests import read_requests
from movierate_spark.storage.digests import digest_of


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


def test_csv_fields_hold_separators_and_quotes_inside_quotes(spark: SparkSession) -> None:
    rows = [("1,Heat,Drama", ["1", "Heat", "Drama"]), ('1,"Heat, The",x', ["1", "Heat, The", "x"])]
    rows += [('1,"A ""B"", C",x', ["1", 'A "B", C', "x"]), ('"1", "a,b" ,', ["1", "a,b", ""]), ("", [""])]
    rows += [('1,"never closed,x', ["1", '"never closed,x']), (",,", ["", "", ""])]
    frame = spark.createDataFrame(rows, "line string, expected array<string>")
    actual = frame.withColumn("actual", csv_fields(F.col("line"), ","))
    assert_column_equality(actual, "actual", "expected")


def test_formats_are_told_apart_by_their_file_names(tmp_path: Path, settings: Settings) -> None:
    folders = [ml_1m(tmp_path / "a"), ml_100k(tmp_path / "b"), csv_without_users(tmp_path / "c")]
    found = [find_delivery(folder, format_name="auto", settings=settings.input) for folder in folders]
    assert [delivery.format.name for delivery in found] == ["ml-1m", "ml-100k", "csv"]
    assert [set(delivery.paths) for delivery in found][2] == {"ratings", "movies"}


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
    with pytest.raises(ValueError, match="x"), whole(path):
        raise ValueError("x")


def test_the_first_line_is_that_of_the_lines(spark: SparkSession, tmp_path: Path) -> None:
    for content in (b"\xef\xbb\xbfa,b\r\n1,2", b"caf\xe9,b\r1,2\n", b"caf\xc3\xa9", b"\n1,2\n", b"a \n\n"):
        for path, written in ((tmp_path / "x.csv", content), (tmp_path / "x.csv.gz", gzip.compress(content))):
            path.write_bytes(written)
            (row,) = read_lines(spark, path).where("first").collect()
            assert first_line(path) == row["raw"]


def test_other_column_names_separators_and_scales_come_from_the_settings(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    write(tmp_path / "ratings.csv", ["stars;when;customer;film", "9;978300760;7;3"])
    write(tmp_path / "movies.csv", ["movieId;title;genres", '3;"A; B (1999)";Drama'])
    names = {"user_id": "customer", "movie_id": "film", "rating": "stars", "rated_at": "when"}
    columns = settings.input.columns.model_copy(update={"ratings": names})
    changed = {"separator": ";", "columns": columns, "rating_max": 10.0}
    delivery = find_delivery(tmp_path, format_name="auto", settings=settings.input.model_copy(update=changed))
    rating = delivery.read(spark, "ratings").select("user_id", "movie_id", "rating", "rated_at").first()
    assert tuple(rating or ()) == ("7", "3", "9", "978300760")
    assert delivery.rating_scale == (0.5, 10.0)
    movie = delivery.read(spark, "movies").first()
    assert movie is not None
    assert movie["title"] == "A; B (1999)"


def test_a_column_that_a_header_names_twice_is_named(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    write(tmp_path / "ratings.csv", ['userId,movieId,rating,timestamp,"rating"', "1,2,5,978300760,1"])
    write(tmp_path / "movies.csv", ["movieId,title,genres,,", "2,Heat (1995),Drama,,"])  # no names, no doubt
    delivery = find_delivery(tmp_path, format_name="auto", settings=settings.input)
    with pytest.raises(InputError, match=r"ratings.csv: its header names rating more than once: leave one"):
        delivery.read(spark, "ratings")
    assert delivery.read(spark, "movies").count() == 1


def parquet(path: Path, **columns: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_columns_that_folders_of_parquet_are_named_for_are_read_as_text(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    asked = tmp_path / "requests"
    parquet(asked / "run_date=2000-12-30" / "a.parquet", user_id=[1], movie_id=[2])
    parquet(asked / "run_date=2000-12-31" / "b.parquet", user_id=[3], movie_id=[4])
    parquet(asked / "_temporary" / "c.parquet", user_id=[5], movie_id=[6])
    parquet(asked / ".hidden" / "d.parquet", user_id=[7], movie_id=[8])
    found = read_requests(spark, asked)
    rows = found.lines.select("user_id", "movie_id", "day").sort("user_id").collect()
    assert [tuple(row) for row in rows] == [("1", "2", "2000-12-30"), ("3", "4", "2000-12-31")]
    assert found.is_dated
    null = "__HIVE_DEFAULT_PARTITION__"
    for i, folder in enumerate((f"occupation={null}/zip3=012", "occupation=clerical%2Fadmin/zip3=940")):
        parquet(tmp_path / "users" / folder / "x.parquet", user_id=[i], gender=["F"], age_group=["25-34"])
    parquet(tmp_path / "ratings" / "x.parquet", user_id=[1])
    parquet(tmp_path / "movies" / "x.parquet", movie_id=[1])
    delivery = find_delivery(tmp_path, format_name="parquet", settings=settings.input)
    users = delivery.read(spark, "users").select("user_id", "occupation", "zip").sort("user_id").collect()
    assert [tuple(row) for row in users] == [("0", None, "01200"), ("1", "clerical/admin", "94000")]


def test_parquet_files_with_different_columns_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", user_id=[1], movie_id=[2])
    parquet(tmp_path / "b.parquet", user_id=[3], movie_id=[4], run_date=["2000-12-31"])
    with pytest.raises(InputError, match=r"a.parquet and b.parquet have different columns \(run_date\)"):
        read_requests(spark, tmp_path)


def test_files_behind_a_link_are_seen_as_spark_sees_them(spark: SparkSession, tmp_path: Path) -> None:
    parquet(tmp_path / "elsewhere" / "b.parquet", user_id=[3], movie_id=[4])
    asked = tmp_path / "asked"
    parquet(asked / "run_date=2000-12-30" / "a.parquet", user_id=[1], movie_id=[2])
    (asked / "run_date=2000-12-31").symlink_to(tmp_path / "elsewhere")
    before = digest_of(asked)
    assert read_requests(spark, asked).lines.count() == 2
    parquet(tmp_path / "elsewhere" / "b.parquet", user_id=[9], movie_id=[9])
    assert digest_of(asked) != before
    parquet(asked / "c.parquet", user_id=[1], movie_id=[2])
    with pytest.raises(InputError, match="files lie at different depths"):
        read_requests(spark, asked)


def test_parquet_that_would_be_passed_over_is_refused_by_name(spark: SparkSession, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    parquet(mixed / "a.parquet", user_id=[1], movie_id=[2])
    parquet(mixed / "more" / "b.parquet", user_id=[3], movie_id=[4])
    with pytest.raises(
        InputError, match=r"mixed: files lie at different depths \(a.parquet and more/b.parquet\)"
    ):
        read_requests(spark, mixed)
    (mixed / "more").rename(mixed / "run_date=2000-12-31")
    with pytest.raises(InputError, match=r"\(a.parquet and run_date=2000-12-31/b.parquet\)"):
        read_requests(spark, mixed)
    for folders in (("one", "two"), ("user_id=1", "run_date=2000-12-31"), ("a=1", "two")):
        asked = tmp_path / "-".join(folders)
        for folder in folders:
            parquet(asked / folder / "x.parquet", user_id=[1], movie_id=[2])
        with pytest.raises(InputError, match=r"its sub-folders \(that of .*/x.parquet\) are not all named"):
            read_requests(spark, asked)


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
