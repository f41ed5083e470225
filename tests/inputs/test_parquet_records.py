from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.inputs.delivery import find_delivery
from movierate_spark.inputs.requests import read_requests
from movierate_spark.storage.digests import digest_of


def parquet(path: Path, **columns: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_columns_that_folders_of_parquet_are_named_for_are_read_as_text(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    source = tmp_path / "requests"
    parquet(source / "run_date=2000-12-30" / "a.parquet", user_id=[1], movie_id=[2])
    parquet(source / "run_date=2000-12-31" / "b.parquet", user_id=[3], movie_id=[4])
    parquet(source / "_temporary" / "c.parquet", user_id=[5], movie_id=[6])
    parquet(source / ".hidden" / "d.parquet", user_id=[7], movie_id=[8])
    requests = read_requests(spark, source)
    rows = requests.lines.select("user_id", "movie_id", "day").sort("user_id").collect()
    assert [tuple(row) for row in rows] == [("1", "2", "2000-12-30"), ("3", "4", "2000-12-31")]
    assert requests.is_dated
    null = "__HIVE_DEFAULT_PARTITION__"
    for i, folder in enumerate((f"occupation={null}/zip3=012", "occupation=clerical%2Fadmin/zip3=940")):
        parquet(tmp_path / "users" / folder / "x.parquet", user_id=[i], gender=["F"], age_group=["25-34"])
    parquet(tmp_path / "ratings" / "x.parquet", user_id=[1])
    parquet(tmp_path / "movies" / "x.parquet", movie_id=[1])
    delivery = find_delivery(tmp_path, format_name="parquet", settings=settings.input)
    users = delivery.read(spark, "users").select("user_id", "occupation", "zip").sort("user_id").collect()
    assert [tuple(row) for row in users] == [("0", None, "01200"), ("1", "clerical/admin", "94000")]


def test_a_dot_in_the_name_of_another_column_is_no_field(spark: SparkSession, tmp_path: Path) -> None:
    more = {"client.country": ["NL"], "a`b": ["x"]}
    parquet(tmp_path / "a.parquet", user_id=[1], movie_id=[2], **more)
    write_deltalake(
        tmp_path / "delta", pa.table({"user_id": [1], "movie_id": [2], **more}), partition_by="a`b"
    )
    for source in (tmp_path / "a.parquet", tmp_path / "delta"):
        (row,) = read_requests(spark, source).lines.select("user_id", "movie_id", "raw").collect()
        assert row[:2] == ("1", "2")
        assert json.loads(row["raw"]) == {"user_id": 1, "movie_id": 2, "client.country": "NL", "a`b": "x"}


def test_parquet_files_with_different_columns_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", user_id=[1], movie_id=[2])
    parquet(tmp_path / "b.parquet", user_id=[3], movie_id=[4], run_date=["2000-12-31"])
    with pytest.raises(InputError, match=r"a.parquet and b.parquet have different columns \(run_date\)"):
        read_requests(spark, tmp_path)


def test_files_behind_a_link_are_seen_as_spark_sees_them(spark: SparkSession, tmp_path: Path) -> None:
    parquet(tmp_path / "elsewhere" / "b.parquet", user_id=[3], movie_id=[4])
    source = tmp_path / "requests"
    parquet(source / "run_date=2000-12-30" / "a.parquet", user_id=[1], movie_id=[2])
    (source / "run_date=2000-12-31").symlink_to(tmp_path / "elsewhere")
    before = digest_of(source)
    assert read_requests(spark, source).lines.count() == 2
    parquet(tmp_path / "elsewhere" / "b.parquet", user_id=[9], movie_id=[9])
    assert digest_of(source) != before
    parquet(source / "c.parquet", user_id=[1], movie_id=[2])
    with pytest.raises(InputError, match="files lie at different depths"):
        read_requests(spark, source)


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
        source = tmp_path / "-".join(folders)
        for folder in folders:
            parquet(source / folder / "x.parquet", user_id=[1], movie_id=[2])
        with pytest.raises(InputError, match=r"its sub-folders \(that of .*/x.parquet\) are not all named"):
            read_requests(spark, source)
