"""Scoring every night: again, late, twice at once, and what is left to read about it."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deliveries import START, ml_1m, write
from deltalake import DeltaTable
from helpers import Outcome, listing
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.inputs import requests
from movierate_spark.model import bundle as bundles
from movierate_spark.model.bundle_files import digests
from movierate_spark.storage.tables import read_table
from movierate_spark.workflows import score as scoring
from movierate_spark.workflows.deliveries import DueDelivery, RunDateOutcome, ScoringRequest, due_deliveries

DAY = "2000-12-31"
Movierate = Callable[..., Outcome]


def score(movierate: Movierate, home: Path, requested: object, scores: Path, *more: object) -> Outcome:
    inputs = ("--lake", home / "lake", "--model", home / "model", "--requests", requested)
    days = more if "--from" in more else ("--run-date", DAY, *more)
    return movierate("score", *inputs, "--scores", scores, *days)


def rows(spark: SparkSession, scores: Path) -> list[Row]:
    return read_table(spark, scores, schemas.SCORES).sort("run_date", "user_id", "movie_id").collect()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((folder / "_runs").glob("*.json"))]


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    write(tmp_path / "requests.csv", ["user_id,movie_id", "1,2", "3,4", "x,5"])
    return tmp_path / "requests.csv"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs scores of what is asked leaves them for the others."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def scores(movierate: Movierate, home: Path, once: Path, asked: Path, tmp_path: Path) -> Path:
    """A table of scores of its own for a test, as one run has left it."""
    if not (once / "scores").exists():
        outcome = score(movierate, home, asked, once / "scores")
        assert outcome.status == 0, outcome.err
    shutil.copytree(once / "scores", tmp_path / "scores")
    return tmp_path / "scores"


def test_a_finished_date_is_left_alone_until_its_inputs_or_the_release_change(
    spark: SparkSession,
    movierate: Movierate,
    home: Path,
    asked: Path,
    scores: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = DeltaTable(str(scores)).version()
    again = score(movierate, home, asked, scores)
    assert again.status == 0
    assert "unchanged: scored from the same inputs before (--force does it again)\n" in again.out
    assert DeltaTable(str(scores)).version() == version
    assert score(movierate, home, asked, scores, "--force").status == 0
    assert DeltaTable(str(scores)).version() == version + 1
    write(asked, ["user_id,movie_id", "7,8"])
    assert score(movierate, home, asked, scores).status == 0
    assert [(row["user_id"], row["movie_id"]) for row in rows(spark, scores)] == [(7, 8)]
    assert score(movierate, home, asked, scores, "--reasons", 0).status == 0
    assert DeltaTable(str(scores)).version() == version + 3
    monkeypatch.setattr(scoring, "release_of", lambda _: "9.9")
    assert "unchanged" not in score(movierate, home, asked, scores, "--reasons", 0).out
    assert DeltaTable(str(scores)).version() == version + 4


def test_rows_that_are_gone_from_the_scores_or_the_rejected_are_made_again(
    spark: SparkSession, movierate: Movierate, home: Path, asked: Path, scores: Path
) -> None:
    whole = rows(spark, scores)
    for table, which in (("", f"run_date = '{DAY}'"), ("", "user_id = 1"), ("_rejected", "rule = 'user_id'")):
        DeltaTable(str(scores / table)).delete(which)
        again = score(movierate, home, asked, scores)
        assert "requests: read 3 = scored 2 + rejected 1\n" in again.out, again.err
        assert rows(spark, scores) == whole
        assert read_table(spark, scores / "_rejected", schemas.REJECTED_REQUESTS).count() == 1
    current = DeltaTable(str(scores))
    (scores / current.get_add_actions().column("path").to_pylist()[0]).unlink()
    assert "unchanged" not in score(movierate, home, asked, scores).out
    assert rows(spark, scores) == whole


def test_rows_that_somebody_has_written_into_other_files_are_still_there(
    movierate: Movierate, home: Path, asked: Path, scores: Path
) -> None:
    DeltaTable(str(scores)).optimize.z_order(["user_id"])
    assert DeltaTable(str(scores)).version() == 1
    assert "unchanged" in score(movierate, home, asked, scores).out


def test_a_corrected_header_is_another_delivery_and_another_order_or_partitioning_is_not(
    spark: SparkSession, movierate: Movierate, home: Path, asked: Path, tmp_path: Path
) -> None:
    scores, arguments = tmp_path / "scores", (asked, tmp_path / "scores")
    write(asked, ["movie_id,user_id", "1,2", "3,4", "x,5"])
    assert score(movierate, home, *arguments).status == 0
    assert [(row["user_id"], row["movie_id"]) for row in rows(spark, scores)] == [(2, 1), (4, 3)]
    write(asked, ["user_id,movie_id", "1,2", "3,4", "x,5"])
    corrected = score(movierate, home, *arguments)
    assert "unchanged" not in corrected.out
    assert [(row["user_id"], row["movie_id"]) for row in rows(spark, scores)] == [(1, 2), (3, 4)]
    write(asked, ["user_id,movie_id", "x,5", "3,4", "1,2"])
    assert "unchanged" in score(movierate, home, *arguments).out
    write(asked, ['"user_id",at,"movie_id"', "x,5", "3,,4", '"1",,2'])  # one line is kept another way
    assert "unchanged" not in score(movierate, home, *arguments).out


def test_other_columns_or_another_rejected_line_make_another_delivery(
    spark: SparkSession, settings: Settings
) -> None:
    schema = "raw string, user_id string, movie_id string, at string"

    def hashes(*lines: tuple[str | None, ...], partitions: int = 1) -> int:
        frame = spark.createDataFrame(list(lines), schema).repartition(partitions)
        complete = frame.withColumn("complete", F.lit(True)).withColumn("day", F.lit(None).cast("string"))
        bounds = {"earliest": settings.validate_.rated_at_min, "latest": datetime(2030, 1, 1, tzinfo=UTC)}
        return requests.inspected(requests.with_rule(complete, **bounds))[None].hashes

    one, two, bad = ("1,2", "1", "2", None), ("3,4", "3", "4", "978300760"), ("x,5", "x", "5", None)
    assert hashes(one, two, bad) == hashes(bad, one, two, partitions=3)
    assert hashes(one, two) == hashes(("1;2", "1", "2", ""), ("4,3", "3", "4", "978300760"))
    assert hashes(one) != hashes(("1,2", "2", "1", None))
    assert hashes(bad) != hashes(("x ,5", "x", "5", None))
    assert hashes(one, one) != hashes(one)


def test_of_two_runs_of_a_date_at_once_one_wins_and_the_other_says_so(
    spark: SparkSession,
    movierate: Movierate,
    home: Path,
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores, faster = tmp_path / "scores", tmp_path / "faster.csv"
    write(faster, ["user_id,movie_id", "7,8"])
    inspect, outcomes = requests.inspected, []

    def overtaken(lines: object) -> object:
        monkeypatch.setattr(requests, "inspected", inspect)
        outcomes.append(score(movierate, home, faster, scores))
        return inspect(lines)

    monkeypatch.setattr(requests, "inspected", overtaken)
    slower = score(movierate, home, asked, scores)
    assert [outcome.status for outcome in outcomes] == [0]
    assert slower.status == 3
    assert slower.err.count("\n") == 1
    assert "another run has published run date 2000-12-31 meanwhile; this one changed nothing" in slower.err
    assert [(row["user_id"], row["movie_id"]) for row in rows(spark, scores)] == [(7, 8)]
    assert sorted(record["outcome"] for record in records(scores)) == ["conflict", "done"]
    assert score(movierate, home, asked, scores).status == 0
    assert len(rows(spark, scores)) == 2


def test_scores_from_an_old_lake_are_replaced_for_a_new_one(
    spark: SparkSession,
    movierate: Movierate,
    home: Path,
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new, scores, fresh = tmp_path / "new", tmp_path / "scores", tmp_path / "fresh"
    for part in ("lake", "model"):
        shutil.copytree(home / part, new / part)
    ratings = [(user, movie, 5, START) for user in range(1, 41) for movie in (2, 4)]
    delivered = ("prepare", "--input", ml_1m(tmp_path / "input", ratings), "--lake", new / "lake")
    check = scoring.table_to_write

    def overtaken(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(scoring, "table_to_write", check)
        assert movierate(*delivered).status == 0
        with (new / "model" / "bundle.json").open("a") as manifest:
            manifest.write("\n")
        return check(*arguments, **more)

    before = {name: (new / name).read_bytes() for name in ("lake/ledger.json", "model/bundle.json")}
    monkeypatch.setattr(scoring, "table_to_write", overtaken)
    assert score(movierate, new, asked, scores).status == 0
    old = rows(spark, scores)
    (record,) = records(scores)
    read = {name: hashlib.sha256(content).hexdigest() for name, content in before.items()}
    assert record["inputs"]["ledger_sha256"] == read["lake/ledger.json"]
    assert record["inputs"]["lake_versions"]["ratings"] == 0
    assert record["inputs"]["bundle_sha256"] == read["model/bundle.json"]
    again = score(movierate, new, asked, scores)
    assert "unchanged" not in again.out
    assert score(movierate, new, asked, fresh).status == 0
    assert rows(spark, scores) == rows(spark, fresh) != old


def test_a_backfill_does_missing_dates_each_as_of_its_own_time(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    folder, scores = tmp_path / "requests", tmp_path / "scores"
    for day in ("2000-06-01", "2000-09-01", "2000-12-01"):
        write(folder / f"{day}.csv", ["user_id,movie_id", "1,2", "2,3"])
    write(folder / "2000-06-02.csv", ["user,movie", "1,2"])
    dates = ("--from", "2000-05-31", "--to", "2000-06-02")
    outcome = score(movierate, home, folder / "{date}.csv", scores, *dates)
    assert outcome.status == 2
    assert f"2000-05-31: no delivery at {folder}/2000-05-31.csv\n" in outcome.out
    assert "2000-06-01: requests: read 2 = scored 2 + rejected 0\n" in outcome.out
    assert f"2000-06-02: refused: {folder}/2000-06-02.csv: missing column(s)" in outcome.out
    assert outcome.out.endswith("3 run dates: 1 no delivery, 1 refused, 1 scored\n")
    assert "1 of 3 run dates were refused: 2000-06-02" in outcome.err
    (folder / "2000-06-02.csv").unlink()
    year = ("--from", "2000-06-01", "--to", "2000-12-31")
    resumed = score(movierate, home, folder / "{date}.csv", scores, *year)
    assert resumed.status == 0, resumed.err
    assert "2000-06-01: unchanged" in resumed.out
    assert resumed.out.count(": no delivery at") == 214 - 3
    for day in ("2000-06-01", "2000-09-01", "2000-12-01"):
        one = tmp_path / f"one-{day}"
        inputs = ("--lake", home / "lake", "--model", home / "model", "--scores", one)
        movierate("score", *inputs, "--requests", folder / f"{day}.csv", "--run-date", day)
        of_day = [row for row in rows(spark, scores) if str(row["run_date"]) == day]
        assert of_day == rows(spark, one)


def test_a_table_of_requests_is_split_by_run_date(movierate: Movierate, home: Path, tmp_path: Path) -> None:
    asked, scores = tmp_path / "table.csv", tmp_path / "scores"
    lines = [
        "user_id,movie_id,run_date",
        "1,2,2000-12-01",
        "2,3,2000-12-01",
        "1,2,2000-12-03",
        "x,2,2000-12-03",
    ]
    write(asked, lines)
    dates = ("--from", "2000-12-01", "--to", "2000-12-03")
    outcome = score(movierate, home, asked, scores, *dates)
    assert outcome.status == 0, outcome.err
    assert "2000-12-01: requests: read 2 = scored 2 + rejected 0\n" in outcome.out
    assert "2000-12-02: no delivery" in outcome.out
    assert "2000-12-03: requests: read 2 = scored 1 + rejected 1\n" in outcome.out
    write(asked, [*lines, "5,6,2000-12-02"])
    later = score(movierate, home, asked, scores, *dates)
    assert "2000-12-01: unchanged" in later.out
    assert "2000-12-02: requests: read 1 = scored 1 + rejected 0\n" in later.out
    assert "2000-12-03: unchanged" in later.out
    write(asked, [*lines, "5,6,yesterday"])
    assert "1 rows have no run_date as YYYY-MM-DD" in score(movierate, home, asked, scores, *dates).err
    write(asked, ["user_id,movie_id", "1,2"])
    assert "one delivery for 3 run dates" in score(movierate, home, asked, scores, *dates).err


def test_a_header_without_rows_empties_a_single_date_and_never_several(
    spark: SparkSession, movierate: Movierate, home: Path, asked: Path, scores: Path
) -> None:
    dates = ("--from", "2000-12-30", "--to", DAY)
    write(asked, ["user_id,movie_id"])
    several = score(movierate, home, asked, scores, *dates)
    assert several.status == 2
    assert f"--requests {asked} is one delivery for 2 run dates: give it a column run_date" in several.err
    assert len(rows(spark, scores)) == 2
    write(asked, ["user_id,movie_id,run_date"])
    dated = score(movierate, home, asked, scores, *dates)
    assert dated.status == 0, dated.err
    assert dated.out.count(": no delivery") == 2
    assert len(rows(spark, scores)) == 2
    write(asked, ["user_id,movie_id,run_date", "1,2,2000-12-29"])
    assert f"no row has the run_date {DAY}" in score(movierate, home, asked, scores).err
    assert "no delivery for any of the 2 run dates" in score(movierate, home, asked, scores, *dates).err
    assert len(rows(spark, scores)) == 2
    write(asked, ["user_id,movie_id,run_date"])
    assert "requests: read 0 = scored 0 + rejected 0\n" in score(movierate, home, asked, scores).out
    assert rows(spark, scores) == []
    write(asked, ["user_id,movie_id", "1,2"])
    assert score(movierate, home, asked, scores).status == 0
    write(asked, ["user_id,movie_id"])
    alone = score(movierate, home, asked, scores)
    assert alone.status == 0, alone.err
    assert "requests: read 0 = scored 0 + rejected 0\n" in alone.out
    assert rows(spark, scores) == []


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
    movierate: Movierate, home: Path, asked: Path, tmp_path: Path, name: str
) -> None:
    write(asked, [f"user_id,movie_id,{name}", "1,2,2000-12-01"])
    outcome = score(movierate, home, asked, tmp_path / "scores")
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
    asked = ScoringRequest(str(tmp_path / "{date}.csv.gz"), days, 0)
    bounds = {"earliest": settings.validate_.rated_at_min, "latest": datetime(2030, 1, 1, tzinfo=UTC)}

    def found(group: str) -> tuple[list[DueDelivery | RunDateOutcome], int]:
        spark.sparkContext.setJobGroup(group, group)
        judge = partial(requests.with_rule, **bounds)
        every = list(due_deliveries(spark, asked, judge=judge, is_done=lambda *_: False))
        return every, len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))

    whole, jobs = found("whole")
    assert jobs == 1
    assert [each.run_date for each in whole] == days
    for each in whole:
        assert isinstance(each, DueDelivery)
        assert each.counts.described() == {"read": 1001, "scored": 1000, "rejected": 1}
        assert each.counts == requests.inspected(each.lines)[None]
        assert {row["user_id"] for row in each.lines.select("user_id").distinct().collect()} == {
            str(each.run_date.day)
        }
    damaged = tmp_path / "2000-12-05.csv.gz"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    (tmp_path / "2000-12-06.csv.gz").unlink()
    (tmp_path / "2000-12-07.csv.gz").write_bytes(gzip.compress(b"user_id,movie\n1,2\n"))
    others, _ = found("others")
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
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    then: str,
    why: str,
) -> None:
    inspect = requests.inspected

    def replaced(lines: DataFrame) -> object:
        found = inspect(lines)
        if then == "counted":
            write(asked, ["user_id,movie_id", "5,6", "7,8", "x,9"])
        return found

    def written(*arguments: object, **named: object) -> object:
        if then == "opened":
            write(asked, ["user_id,movie_id", "5,6", "7,8", "x,9"])
        return attempt(*arguments, **named)

    attempt = scoring.attempt_to_write
    monkeypatch.setattr(requests, "inspected", replaced)
    monkeypatch.setattr(scoring, "attempt_to_write", written)
    outcome = score(movierate, home, asked, tmp_path / "scores")
    assert outcome.status > 0
    assert why in outcome.err
    assert not list(tmp_path.rglob("_delta_log"))


def test_a_delivery_of_another_size_than_stated_is_refused(
    movierate: Movierate, home: Path, asked: Path, tmp_path: Path
) -> None:
    before = listing(tmp_path)
    outcome = score(movierate, home, asked, tmp_path / "scores", "--expect-rows", 4)
    assert outcome.status == 2
    assert "3 rows, expected 4: is the delivery complete?" in outcome.err
    assert listing(tmp_path) == before
    assert score(movierate, home, asked, tmp_path / "scores", "--expect-rows", 3).status == 0


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


def test_each_score_is_the_sum_of_its_reasons(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    pairs = [f"{user},{movie}" for user in (1, 2, 3, 999_999) for movie in (1, 2, 888_888)]
    write(tmp_path / "requests.csv", ["user_id,movie_id", *pairs])
    assert score(movierate, home, tmp_path / "requests.csv", tmp_path / "five").status == 0
    found = rows(spark, tmp_path / "five")
    for row in found:
        names = [reason["feature"] for reason in row["reasons"]]
        sizes = [abs(reason["contribution"]) for reason in row["reasons"][:-1]]
        assert len(names) == len(set(names)) == 6
        assert names[-1] == "other"
        assert sizes == sorted(sizes, reverse=True)
        assert sum(reason["contribution"] for reason in row["reasons"]) == pytest.approx(
            row["logit"], abs=1e-9
        )
    bundle = bundles.open_bundle(home / "model")
    intercept = bundle.model.intercept
    sources = {reason["feature"] for row in found for reason in row["reasons"]} - {"other"}
    assert any(source.startswith("user: ") for source in sources)
    assert any(source.startswith("because you rated ") for source in sources)
    assert len(sources) < len(bundle.manifest.feature_names)
    score(movierate, home, tmp_path / "requests.csv", tmp_path / "all", "--reasons", 99)
    whole = rows(spark, tmp_path / "all")
    for row, short in zip(whole, found, strict=True):
        told = {reason["feature"]: reason["contribution"] for reason in row["reasons"]}
        assert row["logit"] == short["logit"]
        assert all(told[name] == value for name, value in short["reasons"][:-1])
        assert told["other"] == pytest.approx(intercept, abs=1e-9)
    score(movierate, home, tmp_path / "requests.csv", tmp_path / "none", "--reasons", 0)
    assert [row["reasons"] for row in rows(spark, tmp_path / "none")] == [[]] * len(found)


def test_each_run_leaves_a_record_and_a_refused_one_none(
    movierate: Movierate, home: Path, asked: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "scores"
    score(movierate, home, asked, scores)
    score(movierate, home, asked, scores)
    score(movierate, home, tmp_path / "none.csv", scores)
    done, unchanged = records(scores)
    assert (done["outcome"], unchanged["outcome"]) == ("done", "unchanged")
    assert done["run_date"] == DAY
    assert done["counts"] == {"requests": {"read": 3, "scored": 2, "rejected": 1}}
    bundle = home / "model" / "bundle.json"
    assert done["inputs"]["bundle_sha256"] == hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert done["inputs"]["model_version"] == json.loads(bundle.read_text())["version"]
    assert done["inputs"]["lake_versions"]["ratings"] == 0
    assert done["outputs"] == {"version": 0}
    assert [step["step"] for step in done["steps"]] == [f"score {asked} for {DAY}"]
    assert 0 < done["steps"][0]["seconds"] < done["seconds"]
    assert done["settings"]["score"]["reasons"] == 5
    assert {"pyspark", "deltalake"} < set(done["libraries"])
    listed = movierate("runs", scores, home / "lake", home / "model")
    assert listed.status == 0
    assert [listed.out.count(job) for job in (" prepare ", " train ", " score ")] == [1, 1, 2]
    assert "requests: read 3, scored 2" in listed.out
    folders = {str(scores), str(home / "lake"), str(home / "model")}
    lines = listed.out.splitlines()
    assert folders < set(lines)
    assert max(len(line) for line in lines if line not in folders) <= 100
    whole = [json.loads(line) for line in movierate("runs", scores, "--json").out.splitlines()]
    assert [record["outcome"] for record in whole] == ["done", "unchanged"]
    assert "no run has left a record there" in movierate("runs", tmp_path).err


def resigned(model: Path) -> None:
    """Write digests that fit the files, as somebody who can write the folder would."""
    manifest = json.loads((model / "bundle.json").read_text())
    manifest["files"] = digests(model / manifest["folder"])
    (model / "bundle.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "forged",
    [
        '{"class": "os.path.Evil", "uid": "x", "paramMap": {}}\n',
        '{"class": "pyspark.ml.pipeline.PipelineModel", "uid": "x", "paramMap": {}}\n',
        '{"class": "org.apache.spark.ml.feature.VectorAssembler"}\n{"class": "os.path.Evil"}\n',
        '{"class": ["os.path.Evil"]}\n',
        "[]\n",
        "",
    ],
)
def test_a_bundle_with_a_class_of_somebody_else_is_refused_though_it_is_signed_again(
    movierate: Movierate,
    home: Path,
    asked: Path,
    tmp_path: Path,
    forged: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tmp_path / "model"
    shutil.copytree(home / "model", model)
    stage = next(model.rglob("stages/*_HistoryFeatures_*/metadata/part-00000*"))
    stage.write_text(forged)
    resigned(model)
    monkeypatch.setattr(bundles.PipelineModel, "load", lambda *_: pytest.fail("it was loaded"))
    inputs = ("--lake", home / "lake", "--model", model, "--requests", asked)
    outcome = movierate("score", *inputs, "--scores", tmp_path / "scores", "--run-date", DAY)
    assert outcome.status == 2
    assert "which no bundle of ours holds: do not use it, and train again" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "scores").exists()


FORGED = '{"class": "os.path.Evil", "uid": "x", "paramMap": {}, "defaultParamMap": {}}\n'


def led_by_its_uid_out_of_the_bundle(model: Path, elsewhere: Path) -> None:
    metadata = next(model.glob("*/pipeline/metadata/part-00000*"))
    whole = json.loads(metadata.read_text())
    uids = whole["paramMap"]["stageUids"]
    write(elsewhere / "metadata" / "part-00000", [FORGED.strip()])
    uids[2] = f"{uids[2]}/../../../../../{elsewhere.name}"
    metadata.write_text(json.dumps(whole) + "\n")


def led_by_a_link_of_its_stages(model: Path, elsewhere: Path) -> None:
    stages = next(model.glob("*/pipeline/stages"))
    shutil.move(stages, elsewhere)
    stages.symlink_to(elsewhere)
    next(elsewhere.glob("*_HistoryFeatures_*/metadata/part-00000*")).write_text(FORGED)


def led_by_a_link_of_its_version(model: Path, elsewhere: Path) -> None:
    version = next(entry for entry in model.iterdir() if bundles.is_version(entry.name))
    shutil.move(version, elsewhere)
    version.symlink_to(elsewhere)


def led_by_a_link_of_one_file(model: Path, elsewhere: Path) -> None:
    file = next(model.glob("*/pipeline/stages/*/data/*.parquet"))
    shutil.move(file, elsewhere)
    file.symlink_to(elsewhere)


def led_by_a_file_that_spark_reads_though_it_looks_hidden(model: Path, _: Path) -> None:
    metadata = next(model.glob("*/pipeline/stages/*_HistoryFeatures_*/metadata"))
    (metadata / "_a=b").write_text(FORGED)


@pytest.mark.parametrize(
    ("led", "message"),
    [
        (led_by_its_uid_out_of_the_bundle, "a stage called 'HistoryFeatures_"),
        (led_by_a_link_of_its_stages, "/pipeline/stages, a symbolic link"),
        (led_by_a_link_of_its_version, ", a symbolic link"),
        (led_by_a_link_of_one_file, ".parquet, a symbolic link"),
        (led_by_a_file_that_spark_reads_though_it_looks_hidden, "would run an unknown class"),
    ],
)
def test_a_bundle_that_leads_elsewhere_is_refused_though_it_is_signed_again(
    movierate: Movierate,
    home: Path,
    asked: Path,
    tmp_path: Path,
    led: Callable[[Path, Path], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tmp_path / "model"
    shutil.copytree(home / "model", model)
    led(model, tmp_path / "elsewhere")
    resigned(model)
    monkeypatch.setattr(bundles.PipelineModel, "load", lambda *_: pytest.fail("it was loaded"))
    inputs = ("--lake", home / "lake", "--model", model, "--requests", asked)
    outcome = movierate("score", *inputs, "--scores", tmp_path / "scores", "--run-date", DAY)
    assert outcome.status == 2
    assert message in outcome.err
    assert "train again" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "scores").exists()


def test_a_bundle_that_is_changed_after_it_was_opened_is_not_loaded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    shutil.copytree(home / "model", model)
    found = bundles.open_bundle(model)
    next(model.rglob("stages/*_HistoryFeatures_*/metadata/part-00000*")).write_text(FORGED)
    resigned(model)
    monkeypatch.setattr(bundles.PipelineModel, "load", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(InputError, match="its files are not those that were published"):
        _ = found.pipeline


def test_vacuum_says_what_it_removed(
    movierate: Movierate, home: Path, asked: Path, scores: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(home / "model", model)
    (model / "20000101T000000-00000000").mkdir()
    score(movierate, home, asked, scores, "--force")
    floor = f"{scores}: files younger than 24 hours stay, as a running job may use them (--even-recent"
    young = movierate("vacuum", scores, "--retention-hours", 0.5)
    assert f"{floor} removes them)\n{scores}: 0 files or folders removed\n" in young.out
    recent = ("--retention-hours", 0, "--even-recent")
    told = movierate("vacuum", scores, model, home / "lake", *recent, "--dry-run")
    would = re.search(rf"{scores}: (\d+) files or folders would be removed\n", told.out)
    assert would is not None, told.err
    assert int(would[1]) >= 2
    done = movierate("vacuum", scores, model, home / "lake", *recent)
    assert f"{scores}: {would[1]} files or folders removed\n" in done.out
    assert f"{model}: 1 files or folders removed\n" in done.out
    assert re.search(rf"{home / 'lake'}: \d+ files or folders removed\n", done.out)
    assert score(movierate, home, asked, scores).status == 0
    assert bundles.open_bundle(model)
    assert "no lake, model or table lies there" in movierate("vacuum", tmp_path).err


def test_rows_that_are_not_what_the_bundle_was_fitted_on_are_refused(spark: SparkSession, home: Path) -> None:
    found = bundles.open_bundle(home / "model")
    schema = ", ".join(f"`{name}` {kind}" for name, kind in found.manifest.signature.items())
    rows = spark.createDataFrame([], schema)
    with pytest.raises(InputError, match=r"it reads genres \(array<string>\), and the rows have string"):
        found.transform(rows.withColumn("genres", F.lit("War")))
    with pytest.raises(InputError, match=r"it reads year \(int\), and the rows have no such column"):
        found.transform(rows.drop("year"))
    assert "rawPrediction" in found.transform(rows).columns
