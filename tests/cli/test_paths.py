"""Folders and files with any name: a path is taken as it is written, never as a pattern or a URI."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from deliveries import START, ml_1m, write
from helpers import PLAIN, Movierate, Outcome
from pyspark.sql import SparkSession

from movierate_spark import schemas
from movierate_spark.storage import lake
from movierate_spark.storage.tables import current_files, read_table

HOSTILE = "br[1] Jürgen {a}%41"


@pytest.mark.end_to_end
def test_every_job_works_below_a_folder_with_a_hostile_name(
    spark: SparkSession, movierate: Movierate, tmp_path: Path
) -> None:
    home = tmp_path / HOSTILE
    few, fewer = home / "few [1].toml", home / "{fewer}%41.toml"
    write(few, [PLAIN, "[recommend]", "min_support = 1"])
    write(fewer, ["[train]", "max_iter = 3"])
    config = ("--config", few, "--config", fewer)

    def run(*command: object) -> Outcome:
        outcome = movierate(*command)
        assert outcome.status == 0, (command, outcome.err)
        return outcome

    run("simulate", "--out", home / "in", "--ratings", 1000)
    since = json.loads((home / "in" / "truth.json").read_text())["last_tenth"]["since"]
    of_lake = ("--lake", home / "lake")
    run("prepare", "--input", home / "in", *of_lake)
    assert "unchanged" in run("prepare", "--input", home / "in", *of_lake).out
    run("explore", *of_lake, "--out", home / "exploration")
    model = (*of_lake, "--model", home / "model")
    run("train", *model, "--until", since, *config)
    run("evaluate", *model, "--since", since, "--out", home / "evaluation")
    for day, pairs in {"2002-12-01": ["1,2", "x,3"], "2002-12-02": ["3,4"]}.items():
        content = "\n".join(["user_id,movie_id", *pairs])
        (home / f"asked [{day}] a+b.csv.gz").write_bytes(gzip.compress(content.encode()))
    scores = home / "scores"
    options = (*model, "--requests", home / "asked [{date}] a+b.csv.gz", "--scores", scores)
    dates = ("--from", "2002-12-01", "--to", "2002-12-02")
    run("score", *options, *dates)
    assert run("score", *options, *dates).out.count(": unchanged") == 2
    run("score", *options, *dates, "--force")
    assert read_table(spark, scores, schemas.SCORES).count() == 2
    (rejected,) = read_table(spark, scores / "_rejected", schemas.REJECTED_REQUESTS).collect()
    assert rejected["source_file"] == "asked [2002-12-01] a+b.csv.gz"
    run("recommend", *model, "--out", home / "best", "--top", 2, *config)
    run("audience", *model, "--genres", "Drama", "--year", 2000)
    assert " simulate " not in run("runs", home / "lake", home / "model", scores).out
    run("vacuum", home / "lake", home / "model", scores, "--retention-hours", 0, "--even-recent")
    tables = scores, scores / "_rejected"
    current = {str(table / name) for table in tables for name in current_files(table)}
    assert set(map(str, scores.rglob("*.parquet"))) == current


@pytest.mark.end_to_end
def test_a_lake_may_have_any_name_and_be_a_delivery(
    spark: SparkSession, movierate: Movierate, tmp_path: Path
) -> None:
    source = ml_1m(tmp_path / "in", [(1, 2, 5, START)])
    names = ("my Jürgen", "br[1] {a}", "a*b q?x", "h#a", "p%41 b\\c")
    for name in names:
        target = tmp_path / name
        prepared = movierate("prepare", "--input", source, "--lake", target)
        assert prepared.status == 0, (name, prepared.err)
        assert [tuple(row)[:3] for row in lake.open_lake(spark, target).ratings.collect()] == [(1, 2, 5.0)]
        source = target
    assert {path.name for path in tmp_path.iterdir()} == {*names, "in"}
