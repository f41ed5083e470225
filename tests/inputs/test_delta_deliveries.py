"""Deliveries that are Delta tables: their log counts, not the files in their folder."""

from __future__ import annotations

import base64
import json
import struct
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import START
from deltalake import DeltaTable, Schema, write_deltalake
from deltalake.transaction import AddAction, create_table_with_add_actions
from helpers import Movierate
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType, StructField, StructType

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.inputs.delivery import find_delivery
from movierate_spark.storage import lake
from movierate_spark.storage.digests import digest_of
from movierate_spark.storage.tables import current_files, log_entries, read_table

X = StructType([StructField("x", LongType())])


def ratings_of(*users: int) -> pa.Table:
    seconds = pa.array([START] * len(users), pa.timestamp("s")).cast(pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "user_id": list(users),
            "movie_id": [7] * len(users),
            "rating": [4.0] * len(users),
            "rated_at": seconds,
        }
    )


def delivered(folder: Path, *, users_by: list[str] | None = None) -> Path:
    """A delivery of Delta tables: two ratings in two files, three users and a movie."""
    write_deltalake(folder / "ratings", ratings_of(1))
    write_deltalake(folder / "ratings", ratings_of(2), mode="append")
    users = {
        "user_id": [1, 2, 3],
        "gender": ["F", None, "M"],
        "age_group": ["25-34"] * 3,
        "occupation": ["college/grad student", None, "K-12 student"],
        "zip3": ["012"] * 3,
    }
    write_deltalake(folder / "users", pa.table(users), partition_by=users_by)
    movie = {
        "movie_id": [7],
        "title": ["Heat (1995)"],
        "year": pa.array([1995], pa.int32()),
        "genres": [["Crime"]],
    }
    write_deltalake(folder / "movies", pa.table(movie))
    return folder


def test_values_that_a_table_is_partitioned_by_come_with_its_rows(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    folder = delivered(tmp_path / "input", users_by=["occupation", "gender"])
    users = find_delivery(folder, format_name="auto", settings=settings.input).read(spark, "users")
    rows = users.select("user_id", "gender", "occupation", "zip").sort("user_id").collect()
    assert [tuple(row) for row in rows] == [
        ("1", "F", "college/grad student", "01200"),
        ("2", None, None, "01200"),
        ("3", "M", "K-12 student", "01200"),
    ]
    raw = {json.loads(row["raw"])["user_id"]: json.loads(row["raw"]) for row in users.select("raw").collect()}
    assert raw[3]["occupation"] == "K-12 student"


def requests_by_day(folder: Path, days: dict[str, tuple[int, int]], *, is_hive: bool) -> Path:
    """A Delta table with a pair per day, partitioned by run_date, with or without Hive's folder names."""
    actions = []
    for i, (day, (user, movie)) in enumerate(days.items()):
        name = f"run_date={day}/part.parquet" if is_hive else f"{i} of 100%.parquet"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"user_id": [user], "movie_id": [movie]}), folder / name)
        size = (folder / name).stat().st_size
        actions.append(AddAction(name, size, {"run_date": day}, 1, True, "{}"))
    fields = [("user_id", pa.int64()), ("movie_id", pa.int64()), ("run_date", pa.date32())]
    create_table_with_add_actions(
        str(folder), Schema.from_arrow(pa.schema(fields)), actions, mode="error", partition_by=["run_date"]
    )
    return folder


@pytest.mark.parametrize("is_hive", [True, False])
def test_requests_in_a_table_that_is_partitioned_by_run_date_belong_to_their_date(
    spark: SparkSession, movierate: Movierate, plain_home: Path, tmp_path: Path, is_hive: bool
) -> None:
    days = {"2000-12-01": (1, 2), "2000-12-02": (3, 4)}
    source = requests_by_day(tmp_path / "requests", days, is_hive=is_hive)
    inputs = ("--lake", plain_home / "lake", "--model", plain_home / "model", "--requests", source)
    dates = ("--from", "2000-12-01", "--to", "2000-12-03")
    outcome = movierate("score", *inputs, "--scores", tmp_path / "scores", *dates)
    assert outcome.status == 0, outcome.err
    scores = read_table(spark, tmp_path / "scores", schemas.SCORES).sort("run_date")
    assert [tuple(row) for row in scores.select("run_date", "user_id", "movie_id").collect()] == [
        (date(2000, 12, 1), 1, 2),
        (date(2000, 12, 2), 3, 4),
    ]
    assert "2000-12-03: no delivery" in outcome.out


def test_who_was_deleted_from_the_delivered_table_leaves_the_lake(
    spark: SparkSession, movierate: Movierate, tmp_path: Path
) -> None:
    source, target = delivered(tmp_path / "input"), tmp_path / "lake"
    prepare = ("prepare", "--input", source, "--lake", target)
    assert movierate(*prepare).status == 0
    assert "unchanged" in movierate(*prepare).out
    table = DeltaTable(source / "ratings")
    files = set(source.rglob("*.parquet"))
    table.delete("user_id = 1")
    assert set(source.rglob("*.parquet")) == files  # the file is there until the table is vacuumed
    outcome = movierate(*prepare)
    assert "unchanged" not in outcome.out
    assert [row["user_id"] for row in lake.open_lake(spark, target).ratings.collect()] == [2]
    inputs = json.loads((target / "ledger.json").read_text())["inputs"]
    assert inputs["ratings"] == f"{table.metadata().id}@2@{digest_of(log_entries(source / 'ratings')[-1])}"


Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"


def second_row_deleted() -> dict[str, Any]:
    """A deletion vector of the second row: a 64-bit roaring bitmap, stored in the log."""
    bitmap = struct.pack("<IqI", 1681511377, 1, 0) + struct.pack("<IIHHIH", 12346, 1, 0, 0, 16, 1)
    bitmap += bytes(-len(bitmap) % 4)
    text = base64.b85encode(bitmap).decode().translate(str.maketrans(B85, Z85))
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(bitmap), "cardinality": 1}


def table_with(
    path: Path, *features: str, deleted: bool = False, mode: str = "none", reader: int = 3
) -> Path:
    """A Delta table with x = 1, 2, 3, as an engine with these features writes it."""
    (path / "_delta_log").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1, 2, 3]}), path / "a.parquet")
    protocol: dict[str, Any] = {"minReaderVersion": reader, "minWriterVersion": 7 if reader == 3 else 5}
    if reader == 3:
        protocol |= {"readerFeatures": features, "writerFeatures": features}
    field = {"name": "x", "type": "long", "nullable": True, "metadata": {}}
    if mode != "none":
        field["metadata"] = {"delta.columnMapping.id": 1, "delta.columnMapping.physicalName": "col-5"}
    meta = {
        "id": "x",
        "format": {"provider": "parquet", "options": {}},
        "partitionColumns": [],
        "createdTime": 1,
    }
    meta |= {"schemaString": json.dumps({"type": "struct", "fields": [field]})}
    meta |= {"configuration": {"delta.columnMapping.mode": mode}}
    size = (path / "a.parquet").stat().st_size
    add = {
        "path": "a.parquet",
        "partitionValues": {},
        "size": size,
        "modificationTime": 1,
        "dataChange": True,
    }
    add |= {"stats": '{"numRecords": 3}'} | ({"deletionVector": second_row_deleted()} if deleted else {})
    lines = [json.dumps(line) for line in ({"protocol": protocol}, {"metaData": meta}, {"add": add})]
    (path / "_delta_log" / f"{0:020}.json").write_text("\n".join(lines))
    return path


def test_a_table_whose_files_do_not_say_what_it_holds_is_refused_by_the_name_of_its_feature(
    spark: SparkSession, tmp_path: Path
) -> None:
    deleted = table_with(tmp_path / "deleted", "deletionVectors", deleted=True)
    with pytest.raises(
        InputError,
        match=r"deleted: a Delta table with deletionVectors is not .*: rewrite its files without them",
    ):
        read_table(spark, deleted, X)
    with pytest.raises(InputError, match="deletionVectors"):
        current_files(deleted)
    for renamed in (
        table_with(tmp_path / "named", "columnMapping", mode="name"),
        table_with(tmp_path / "numbered", mode="id", reader=2),
    ):
        with pytest.raises(
            InputError, match="with columnMapping is not supported: export it to plain Parquet"
        ):
            read_table(spark, renamed, X)
    harmless = table_with(
        tmp_path / "clean", "deletionVectors", "columnMapping", "timestampNtz", "v2Checkpoint"
    )
    assert [row["x"] for row in read_table(spark, harmless, X).sort("x").collect()] == [1, 2, 3]


def test_a_delivery_with_deletion_vectors_ends_with_one_line_and_leaves_nothing(
    movierate: Movierate, tmp_path: Path
) -> None:
    source = delivered(tmp_path / "input")
    table_with(tmp_path / "deleted", "deletionVectors", deleted=True).rename(source / "gone")
    (source / "movies").rename(tmp_path / "movies")
    (source / "gone").rename(source / "movies")
    outcome = movierate("prepare", "--input", source, "--lake", tmp_path / "lake")
    assert outcome.status == 2
    assert f"{source / 'movies'}: a Delta table with deletionVectors is not supported" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "lake").exists()
