"""Deliveries of requests: which are the same, which belong to which date, and which are refused."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import write
from helpers import RUN_DATE, Movierate, listing, read_scores, score
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.inputs import requests
from movierate_spark.inputs.request_deliveries import (
    DueDelivery,
    RunDateOutcome,
    ScoringRequest,
    due_deliveries,
)
from movierate_spark.workflows import score as scoring


@pytest.fixture
def home(plain_home: Path) -> Path:
    """Requests are read the same for every model: the one that scores fastest will do."""
    return plain_home


def test_a_corrected_header_is_another_delivery_and_another_order_or_partitioning_is_not(
    spark: SparkSession, movierate: Movierate, home: Path, pairs: Path, tmp_path: Path
) -> None:
    scores, arguments = tmp_path / "scores", (pairs, tmp_path / "scores")
    write(pairs, ["movie_id,user_id", "1,2", "3,4", "x,5"])
    assert score(movierate, home, *arguments).status == 0
    assert [(row["user_id"], row["movie_id"]) for row in read_scores(spark, scores)] == [(2, 1), (4, 3)]
    write(pairs, ["user_id,movie_id", "1,2", "3,4", "x,5"])
    corrected = score(movierate, home, *arguments)
    assert "unchanged" not in corrected.out
    assert [(row["user_id"], row["movie_id"]) for row in read_scores(spark, scores)] == [(1, 2), (3, 4)]
    write(pairs, ["user_id,movie_id", "x,5", "3,4", "1,2"])
    assert "unchanged" in score(movierate, home, *arguments).out
    write(pairs, ['"user_id",at,"movie_id"', "x,5", "3,,4", '"1",,2'])  # one line is kept another way
    assert "unchanged" not in score(movierate, home, *arguments).out


def test_of_a_wrong_run_date_column_no_text_is_collected(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    days = ["2000-12-01", " 2000-12-01 ", "2000-12-01T00:00", "17", "2000-1-1", "", "2000-12-02"]
    write(tmp_path / "table.csv", ["user_id,movie_id,run_date", *(f"1,2,{day}" for day in days)])
    lines = requests.read_requests(spark, tmp_path / "table.csv").lines
    bounds = {"earliest": settings.validate_.rated_at_min, "latest": datetime(2030, 1, 1, tzinfo=UTC)}
    counts = requests.counts_by_day(requests.with_rule(lines, **bounds))
    assert {day: of_day.rows for day, of_day in counts.items()} == {"": 4, "2000-12-01": 2, "2000-12-02": 1}


def test_other_columns_or_another_rejected_line_make_another_delivery(
    spark: SparkSession, settings: Settings
) -> None:
    schema = "raw string, user_id string, movie_id string, at string"

    def hashes(*lines: tuple[str | None, ...], partitions: int = 1) -> int:
        frame = spark.createDataFrame(list(lines), schema).repartition(partitions)
        complete = frame.withColumn("complete", F.lit(True)).withColumn("day", F.lit(None).cast("string"))
        bounds = {"earliest": settings.validate_.rated_at_min, "latest": datetime(2030, 1, 1, tzinfo=UTC)}
        return requests.counts_by_day(requests.with_rule(complete, **bounds))[None].hashes

    one, two, bad = ("1,2", "1", "2", None), ("3,4", "3", "4", "978300760"), ("x,5", "x", "5", None)
    assert hashes(one, two, bad) == hashes(bad, one, two, partitions=3)
    assert hashes(one, two) == hashes(("1;2", "1", "2", ""), ("4,3", "3", "4", "978300760"))
    assert hashes(one) != hashes(("1,2", "2", "1", None))
    assert hashes(bad) != hashes(("x ,5", "x", "5", None))
    assert hashes(one, one) != hashes(one)


def test_a_table_of_requests_is_split_by_run_date(movierate: Movierate, home: Path, tmp_path: Path) -> None:
    table, scores = tmp_path / "table.csv", tmp_path / "scores"
    lines = [
        "user_id,movie_id,run_date",
        "1,2,2000-12-01",
        "2,3,2000-12-01",
        "1,2,2000-12-03",
        "x,2,2000-12-03",
    ]
    write(table, lines)
    dates = ("--from", "2000-12-01", "--to", "2000-12-03")
    outcome = score(movierate, home, table, scores, *dates)
    assert outcome.status == 0, outcome.err
    assert "2000-12-01: requests: read 2 = scored 2 + rejected 0\n" in outcome.out
    assert "2000-12-02: no delivery" in outcome.out
    assert "2000-12-03: requests: read 2 = scored 1 + rejected 1\n" in outcome.out
    write(table, [*lines, "5,6,2000-12-02"])
    later = score(movierate, home, table, scores, *dates)
    assert "2000-12-01: unchanged" in later.out
    assert "2000-12-02: requests: read 1 = scored 1 + rejected 0\n" in later.out
    assert "2000-12-03: unchanged" in later.out
    write(table, [*lines, "5,6,yesterday"])
    assert "1 rows have no run_date as YYYY-MM-DD" in score(movierate, home, table, scores, *dates).err
    write(table, ["user_id,movie_id", "1,2"])
    assert "one delivery for 3 run dates" in score(movierate, home, table, scores, *dates).err


def test_a_header_without_rows_empties_a_single_date_and_never_several(
    spark: SparkSession, movierate: Movierate, home: Path, pairs: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "scores"
    assert score(movierate, home, pairs, scores).status == 0
    dates = ("--from", "2000-12-30", "--to", RUN_DATE)
    write(pairs, ["user_id,movie_id"])
    several = score(movierate, home, pairs, scores, *dates)
    assert several.status == 2
    assert f"--requests {pairs} is one delivery for 2 run dates: give it a column run_date" in several.err
    assert len(read_scores(spark, scores)) == 2
    write(pairs, ["user_id,movie_id,run_date"])
    dated = score(movierate, home, pairs, scores, *dates)
    assert dated.status == 0, dated.err
    assert dated.out.count(": no delivery") == 2
    assert len(read_scores(spark, scores)) == 2
    write(pairs, ["user_id,movie_id,run_date", "1,2,2000-12-29"])
    assert f"no row has the run_date {RUN_DATE}" in score(movierate, home, pairs, scores).err
    assert "no delivery for any of the 2 run dates" in score(movierate, home, pairs, scores, *dates).err
    assert len(read_scores(spark, scores)) == 2
    write(pairs, ["user_id,movie_id,run_date"])
    assert "requests: read 0 = scored 0 + rejected 0\n" in score(movierate, home, pairs, scores).out
    assert read_scores(spark, scores) == []
    write(pairs, ["user_id,movie_id", "1,2"])
    assert score(movierate, home, pairs, scores).status == 0
    write(pairs, ["user_id,movie_id"])
    alone = score(movierate, home, pairs, scores)
    assert alone.status == 0, alone.err
    assert "requests: read 0 = scored 0 + rejected 0\n" in alone.out
    assert read_scores(spark, scores) == []


def test_a_text_that_is_no_run_date_is_not_quoted(movierate: Movierate, home: Path, tmp_path: Path) -> None:
    write(tmp_path / "2000-12-31.csv", ["user_id,movie_id,run_date", "5,6,alice@example.com"])
    outcome = score(movierate, home, tmp_path / "{date}.csv", tmp_path / "scores")
    assert "1 rows have no run_date as YYYY-MM-DD" in outcome.err
    assert "alice" not in outcome.out + outcome.err


def test_rows_of_another_date_than_the_file_is_named_for_are_refused(
    movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "2000-12-30.csv", ["user_id,movie_id,run_date", "1,2,2000-12-30", "3,4,2000-12-31"])
    write(tmp_path / "2000-12-31.csv", ["user_id,movie_id,run_date", "5,6,2000-12-31"])
    dates = ("--from", "2000-12-30", "--to", "2000-12-31")
    outcome = score(movierate, home, tmp_path / "{date}.csv", tmp_path / "scores", *dates)
    assert outcome.status == 2
    assert "rows of run_date 2000-12-31, which is not the date in the file's name" in outcome.out
    assert "2000-12-31: requests: read 1 = scored 1 + rejected 0\n" in outcome.out


@pytest.mark.parametrize("name", ["At", "RUN_DATE", "User_Id"])
def test_a_column_in_large_letters_is_refused_by_name(
    movierate: Movierate, home: Path, pairs: Path, tmp_path: Path, name: str
) -> None:
    write(pairs, [f"user_id,movie_id,{name}", "1,2,2000-12-01"])
    outcome = score(movierate, home, pairs, tmp_path / "scores")
    assert outcome.status == 2
    assert f"column {name}: write {name.lower()} in small letters" in outcome.err


def test_many_deliveries_are_counted_by_one_job_and_a_damaged_one_does_not_stop_the_others(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    days = [date(2000, 12, day) for day in range(1, 13)]
    for day in days:
        lines = f"user_id,movie_id\n{day.day},2\n{day.day},x\n" + "".join(
            f"{day.day},{i}\n" for i in range(999)
        )
        (tmp_path / f"{day}.csv.gz").write_bytes(gzip.compress(lines.encode()))
    scoring_request = ScoringRequest(str(tmp_path / "{date}.csv.gz"), days, 0)
    bounds = {"earliest": settings.validate_.rated_at_min, "latest": datetime(2030, 1, 1, tzinfo=UTC)}

    def deliveries(group: str) -> tuple[list[DueDelivery | RunDateOutcome], int]:
        spark.sparkContext.setJobGroup(group, group)
        judge = partial(requests.with_rule, **bounds)
        every = list(due_deliveries(spark, scoring_request, judge=judge, is_done=lambda *_: False))
        return every, len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))

    whole, jobs = deliveries("whole")
    assert jobs == 1
    assert [each.run_date for each in whole] == days
    for each in whole:
        assert isinstance(each, DueDelivery)
        assert each.counts.described() == {"read": 1001, "scored": 1000, "rejected": 1}
        assert each.counts == requests.counts_by_day(each.lines)[None]
        assert {row["user_id"] for row in each.lines.select("user_id").distinct().collect()} == {
            str(each.run_date.day)
        }
    damaged = tmp_path / "2000-12-05.csv.gz"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    (tmp_path / "2000-12-06.csv.gz").unlink()
    (tmp_path / "2000-12-07.csv.gz").write_bytes(gzip.compress(b"user_id,movie\n1,2\n"))
    others, _ = deliveries("others")
    refused = {each.run_date.day: each.why for each in others if isinstance(each, RunDateOutcome)}
    assert refused[5] == f"{damaged}: the gzip file is damaged or cut off: deliver it again"
    assert refused[6] == ""
    assert "missing column(s) movie_id" in refused[7]
    assert [each.run_date.day for each in others if isinstance(each, DueDelivery)] == [
        1,
        2,
        3,
        4,
        8,
        9,
        10,
        11,
        12,
    ]


@pytest.mark.parametrize(
    ("then", "why"),
    [("counted", "has changed while it was read"), ("opened", "did the requests change")],
)
def test_requests_that_are_replaced_while_they_are_read_publish_nothing(
    movierate: Movierate,
    home: Path,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    then: str,
    why: str,
) -> None:
    inspect = requests.counts_by_day

    def replaced(lines: DataFrame) -> object:
        counts = inspect(lines)
        if then == "counted":
            write(pairs, ["user_id,movie_id", "5,6", "7,8", "x,9"])
        return counts

    def written(*arguments: object, **named: object) -> object:
        if then == "opened":
            write(pairs, ["user_id,movie_id", "5,6", "7,8", "x,9"])
        return attempt(*arguments, **named)

    attempt = scoring.attempt_to_write
    monkeypatch.setattr(requests, "counts_by_day", replaced)
    monkeypatch.setattr(scoring, "attempt_to_write", written)
    outcome = score(movierate, home, pairs, tmp_path / "scores")
    assert outcome.status > 0
    assert why in outcome.err
    assert not list(tmp_path.rglob("_delta_log"))


def test_a_delivery_of_another_size_than_stated_is_refused(
    movierate: Movierate, home: Path, pairs: Path, tmp_path: Path
) -> None:
    before = listing(tmp_path)
    outcome = score(movierate, home, pairs, tmp_path / "scores", "--expect-rows", 4)
    assert outcome.status == 2
    assert "3 rows, expected 4: is the delivery complete?" in outcome.err
    assert listing(tmp_path) == before
    assert score(movierate, home, pairs, tmp_path / "scores", "--expect-rows", 3).status == 0


def test_requests_whose_header_names_a_column_twice_are_refused(
    movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "twice.csv", ["user_id,movie_id,user_id,movie_id", "1,2,3,4"])
    before = listing(tmp_path)
    outcome = score(movierate, home, tmp_path / "twice.csv", tmp_path / "scores")
    assert outcome.status == 2
    assert "twice.csv: its header names user_id, movie_id more than once: leave one of each" in outcome.err
    assert outcome.err.count("\n") == 1
    assert listing(tmp_path) == before


def test_damaged_parquet_does_not_stop_the_other_dates(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    days = [date(2000, 12, day) for day in range(1, 7)]
    pairs = pa.table({"user_id": range(5_000), "movie_id": range(5_000)})
    files = [tmp_path / f"{day}" for day in days]
    for number in (4, 5):
        files[number].mkdir()
        files[number] /= "part.parquet"
    for file in files:
        pq.write_table(pairs, file, write_page_checksum=True)
    whole = files[0].read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 4
    footer_at = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    footer = whole[:footer_at] + b"\xff" + whole[footer_at + 1 :]
    for file, content in zip(files[2:], (whole[:-9], bytes(flipped), whole[:-9], footer), strict=True):
        file.write_bytes(content)
    judge = partial(
        requests.with_rule,
        earliest=settings.validate_.rated_at_min,
        latest=datetime(2030, 1, 1, tzinfo=UTC),
    )
    scoring_request = ScoringRequest(str(tmp_path / "{date}"), days, 0)
    every = list(due_deliveries(spark, scoring_request, judge=judge, is_done=lambda *_: False))
    assert [each.counts.rows for each in every[:2] if isinstance(each, DueDelivery)] == [5_000] * 2
    for each in every[2:]:
        assert isinstance(each, RunDateOutcome)
        damaged = tmp_path / f"{each.run_date}"
        assert each.why == f"{damaged}: a file is damaged, cut off or can't be read: deliver it again"
