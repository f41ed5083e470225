"""Scoring every night: again, late, twice at once, and what is left to read about it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from deliveries import write
from deltalake import DeltaTable
from helpers import RUN_DATE, Movierate, read_scores, run_records, score
from pyspark.sql import SparkSession

from movierate_spark import schemas
from movierate_spark.inputs import requests
from movierate_spark.model import bundle as bundles
from movierate_spark.storage.tables import read_table
from movierate_spark.workflows import score as scoring


@pytest.fixture
def home(plain_home: Path) -> Path:
    """What is published, and when, is the same for every model: the one that scores fastest will do."""
    return plain_home


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs scores of what is asked leaves them for the others."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def scores(movierate: Movierate, home: Path, once: Path, pairs: Path, tmp_path: Path) -> Path:
    """A table of scores of its own for a test, as one run has left it."""
    if not (once / "scores").exists():
        outcome = score(movierate, home, pairs, once / "scores")
        assert outcome.status == 0, outcome.err
    shutil.copytree(once / "scores", tmp_path / "scores")
    return tmp_path / "scores"


def test_a_finished_date_is_left_alone_until_its_inputs_or_the_release_change(
    spark: SparkSession,
    movierate: Movierate,
    home: Path,
    pairs: Path,
    scores: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = DeltaTable(str(scores)).version()
    again = score(movierate, home, pairs, scores)
    assert again.status == 0
    assert "unchanged: scored from the same inputs before (--force does it again)\n" in again.out
    assert DeltaTable(str(scores)).version() == version
    assert score(movierate, home, pairs, scores, "--force").status == 0
    assert DeltaTable(str(scores)).version() == version + 1
    write(pairs, ["user_id,movie_id", "7,8"])
    assert score(movierate, home, pairs, scores).status == 0
    assert [(row["user_id"], row["movie_id"]) for row in read_scores(spark, scores)] == [(7, 8)]
    assert score(movierate, home, pairs, scores, "--reasons", 0).status == 0
    assert DeltaTable(str(scores)).version() == version + 3
    monkeypatch.setattr(scoring, "release_of", lambda _: "9.9")
    assert "unchanged" not in score(movierate, home, pairs, scores, "--reasons", 0).out
    assert DeltaTable(str(scores)).version() == version + 4


def test_rows_that_are_gone_from_the_scores_or_the_rejected_are_made_again(
    spark: SparkSession, movierate: Movierate, home: Path, pairs: Path, scores: Path
) -> None:
    whole = read_scores(spark, scores)
    for table, which in (
        ("", f"run_date = '{RUN_DATE}'"),
        ("", "user_id = 1"),
        ("_rejected", "rule = 'user_id'"),
    ):
        DeltaTable(str(scores / table)).delete(which)
        again = score(movierate, home, pairs, scores)
        assert "requests: read 3 = scored 2 + rejected 1\n" in again.out, again.err
        assert read_scores(spark, scores) == whole
        assert read_table(spark, scores / "_rejected", schemas.REJECTED_REQUESTS).count() == 1
    current = DeltaTable(str(scores))
    (scores / current.get_add_actions().column("path").to_pylist()[0]).unlink()
    assert "unchanged" not in score(movierate, home, pairs, scores).out
    assert read_scores(spark, scores) == whole


def test_rows_that_somebody_has_written_into_other_files_are_still_there(
    movierate: Movierate, home: Path, pairs: Path, scores: Path
) -> None:
    DeltaTable(str(scores)).optimize.z_order(["user_id"])
    assert DeltaTable(str(scores)).version() == 1
    assert "unchanged" in score(movierate, home, pairs, scores).out


def test_of_two_runs_of_a_date_at_once_one_wins_and_the_other_says_so(
    spark: SparkSession,
    movierate: Movierate,
    home: Path,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores, faster = tmp_path / "scores", tmp_path / "faster.csv"
    write(faster, ["user_id,movie_id", "7,8"])
    inspect, outcomes = requests.counts_by_day, []

    def overtaken(lines: object) -> object:
        monkeypatch.setattr(requests, "counts_by_day", inspect)
        outcomes.append(score(movierate, home, faster, scores))
        return inspect(lines)

    monkeypatch.setattr(requests, "counts_by_day", overtaken)
    slower = score(movierate, home, pairs, scores)
    assert [outcome.status for outcome in outcomes] == [0]
    assert slower.status == 3
    assert slower.err.count("\n") == 1
    assert "another run has published run date 2000-12-31 meanwhile; this one changed nothing" in slower.err
    assert [(row["user_id"], row["movie_id"]) for row in read_scores(spark, scores)] == [(7, 8)]
    assert sorted(record["outcome"] for record in run_records(scores)) == ["conflict", "done"]
    assert score(movierate, home, pairs, scores).status == 0
    assert len(read_scores(spark, scores)) == 2


def test_each_run_leaves_a_record_and_a_refused_one_none(
    movierate: Movierate, home: Path, pairs: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "scores"
    score(movierate, home, pairs, scores)
    score(movierate, home, pairs, scores)
    score(movierate, home, tmp_path / "none.csv", scores)
    done, unchanged = run_records(scores)
    assert (done["outcome"], unchanged["outcome"]) == ("done", "unchanged")
    assert done["run_date"] == RUN_DATE
    assert done["counts"] == {"requests": {"read": 3, "scored": 2, "rejected": 1}}
    bundle = home / "model" / "bundle.json"
    assert done["inputs"]["bundle_sha256"] == hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert done["inputs"]["model_version"] == json.loads(bundle.read_text())["version"]
    assert done["inputs"]["lake_versions"]["ratings"] == 0
    assert done["outputs"] == {"version": 0}
    assert [step["step"] for step in done["steps"]] == [f"score {pairs} for {RUN_DATE}"]
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


def test_vacuum_says_what_it_removed(
    movierate: Movierate, home: Path, pairs: Path, scores: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(home / "model", model)
    (model / "20000101T000000-00000000").mkdir()
    score(movierate, home, pairs, scores, "--force")
    floor = f"{scores}: files younger than 24 hours stay, as a running job may use them (--even-recent"
    young = movierate("vacuum", scores, "--retention-hours", 0.5)
    assert f"{floor} removes them)\n{scores}: 0 files or folders removed\n" in young.out
    recent = ("--retention-hours", 0, "--even-recent")
    outcome = movierate("vacuum", scores, model, home / "lake", *recent, "--dry-run")
    would = re.search(rf"{scores}: (\d+) files or folders would be removed\n", outcome.out)
    assert would is not None, outcome.err
    assert int(would[1]) >= 2
    done = movierate("vacuum", scores, model, home / "lake", *recent)
    assert f"{scores}: {would[1]} files or folders removed\n" in done.out
    assert f"{model}: 1 files or folders removed\n" in done.out
    assert re.search(rf"{home / 'lake'}: \d+ files or folders removed\n", done.out)
    assert score(movierate, home, pairs, scores).status == 0
    assert bundles.open_bundle(model)
    assert "no lake, model or table lies there" in movierate("vacuum", tmp_path).err


def test_a_run_date_is_replaced_and_the_others_stay(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "two.csv", ["user_id,movie_id", "1,2", "3,4"])
    write(tmp_path / "none.csv", ["user_id,movie_id"])
    scores = tmp_path / "scores"

    def days() -> dict[str, int]:
        table = read_table(spark, scores, schemas.SCORES)
        return {str(row["run_date"]): row["count"] for row in table.groupBy("run_date").count().collect()}

    score(movierate, home, tmp_path / "two.csv", scores, "--run-date", "2000-12-30")
    score(movierate, home, tmp_path / "two.csv", scores)
    score(movierate, home, tmp_path / "two.csv", scores)
    assert days() == {"2000-12-30": 2, "2000-12-31": 2}
    assert score(movierate, home, tmp_path / "none.csv", scores).status == 0
    assert days() == {"2000-12-30": 2}
