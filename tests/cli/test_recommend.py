"""Recommendations are the best of what scoring every pair would give."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from deliveries import tiny_rows, write
from deltalake import DeltaTable
from helpers import Movierate, Outcome, T, listing
from pyspark.sql import SparkSession

from movierate_spark import schemas
from movierate_spark.model.bundle import open_bundle
from movierate_spark.storage.lake import open_lake
from movierate_spark.storage.tables import read_table
from movierate_spark.workflows import recommend as recommending


def recommend(movierate: Movierate, home: Path, out: Path, *more: object) -> Outcome:
    return movierate("recommend", "--lake", home / "lake", "--model", home / "model", "--out", out, *more)


@pytest.mark.parametrize(
    "at",
    [
        pytest.param("2000-07-15T00:00:00+00:00", marks=pytest.mark.end_to_end),
        "2000-10-15T00:00:00+00:00",
    ],
)
def test_recommendations_are_the_best_unseen_of_all_scored_pairs(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path, at: str
) -> None:
    lake = open_lake(spark, home / "lake")
    tables = open_bundle(home / "model").tables()
    assert tables
    assert (tables.block_at(datetime.fromisoformat(at)) > 0) == ("-10-" in at)
    (tmp_path / "all.toml").write_text("[recommend]\nmin_support = 0\n")
    options = ("--top", 7, "--at", at, "--config", tmp_path / "all.toml")
    assert recommend(movierate, home, tmp_path / "best", *options).status == 0
    best = read_table(spark, tmp_path / "best", schemas.RECOMMENDATIONS).toPandas()
    users = [row[0] for row in lake.users.select("user_id").collect()]
    movies = [row[0] for row in lake.movies.select("movie_id").collect()]
    pairs = [f"{user},{movie},{at}" for user in users for movie in movies]
    write(tmp_path / "pairs.csv", ["user_id,movie_id,at", *pairs])
    inputs = ("--lake", home / "lake", "--model", home / "model", "--requests", tmp_path / "pairs.csv")
    day = ("--scores", tmp_path / "scores", "--run-date", "2000-12-31", "--reasons", 0)
    assert movierate("score", *inputs, *day).status == 0
    scores = read_table(spark, tmp_path / "scores", schemas.SCORES).toPandas()
    seen = lake.ratings.where(f"rated_at < timestamp '{at}'").select("user_id", "movie_id").toPandas()
    unseen = scores.merge(seen.assign(seen=True), how="left", on=["user_id", "movie_id"])
    unseen = unseen[unseen["seen"].isna()].assign(logit=unseen["logit"].round(9))
    expected = unseen.sort_values(["user_id", "logit", "movie_id"], ascending=[True, False, True])
    expected = expected.groupby("user_id").head(7)
    best = best.sort_values(["user_id", "rank"])
    assert (
        best[["user_id", "movie_id"]].to_numpy().tolist()
        == expected[["user_id", "movie_id"]].to_numpy().tolist()
    )
    assert best["logit"].to_numpy() == pytest.approx(expected["logit"].to_numpy(), abs=1e-8)
    assert best["p_like"].to_numpy() == pytest.approx(expected["p_like"].to_numpy(), abs=1e-8)
    assert set(best["rank"]) == set(range(1, 8))
    assert (~scores[scores["movie_known"]]["user_known"]).any()  # cold users are recommended to, too


def test_the_same_inputs_are_left_alone_while_the_rows_are_there_and_filters_hold(
    spark: SparkSession, movierate: Movierate, plain_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "some.toml").write_text(
        '[recommend]\nmin_support = 5\ngenres = ["Film-Noir"]\nyear_min = 1940\n'
    )
    options = ("--top", 3, "--config", tmp_path / "some.toml")
    assert recommend(movierate, plain_home, tmp_path / "best", *options).status == 0
    movies = read_table(spark, tmp_path / "best", schemas.RECOMMENDATIONS).select("movie_id").distinct()
    ids = {row["movie_id"] for row in movies.collect()}
    assert ids
    assert all(movie % 4 == 3 and 1930 + 2 * movie >= 1940 for movie in ids)
    again = recommend(movierate, plain_home, tmp_path / "best", *options)
    assert "unchanged: made from the same inputs before (--force does it again)\n" in again.out
    assert DeltaTable(str(tmp_path / "best")).version() == 0
    assert recommend(movierate, plain_home, tmp_path / "best", *options, "--force").status == 0
    assert DeltaTable(str(tmp_path / "best")).version() == 1
    whole = read_table(spark, tmp_path / "best", schemas.RECOMMENDATIONS).count()
    DeltaTable(str(tmp_path / "best")).delete("user_id = 1")
    assert f"{whole} recommendations\n" in recommend(movierate, plain_home, tmp_path / "best", *options).out
    assert DeltaTable(str(tmp_path / "best")).version() == 3
    (tmp_path / "none.toml").write_text("[recommend]\nyear_min = 2999\n")
    refused = recommend(
        movierate, plain_home, tmp_path / "new", "--top", 3, "--config", tmp_path / "none.toml"
    )
    assert refused.status == 2
    assert "no movie may be recommended" in refused.err
    assert not (tmp_path / "new").exists()


def test_a_scores_table_is_no_place_for_recommendations(
    spark: SparkSession, movierate: Movierate, plain_home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "requests.csv", ["user_id,movie_id", "1,2"])
    inputs = ("--lake", plain_home / "lake", "--model", plain_home / "model")
    day = ("--requests", tmp_path / "requests.csv", "--run-date", "2000-12-31")
    assert movierate("score", *inputs, *day, "--scores", tmp_path / "scores").status == 0
    before = listing(tmp_path)
    outcome = recommend(movierate, plain_home, tmp_path / "scores", "--top", 2)
    assert outcome.status == 2
    assert f"--out {tmp_path}/scores: a table of (user_id bigint, movie_id bigint, " in outcome.err
    assert "expected one of (user_id bigint, rank int, movie_id bigint" in outcome.err
    assert outcome.err.count("\n") == 1
    assert listing(tmp_path) == before
    assert read_table(spark, tmp_path / "scores", schemas.SCORES).count() == 1


@pytest.mark.parametrize(
    "lost",
    [*(pytest.param(rows, marks=pytest.mark.end_to_end) for rows in ("rank = 1", "rank = 3")), "user_id = 7"],
)
def test_recommendations_of_which_rows_are_lost_are_not_published(
    movierate: Movierate, plain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    best = recommending.top_movies
    monkeypatch.setattr(
        recommending,
        "top_movies",
        lambda *arguments, **named: best(*arguments, **named).where(f"not ({lost})"),
    )
    outcome = recommend(movierate, plain_home, tmp_path / "best", "--top", 3)
    assert outcome.status == 1
    wrong = 1 if lost == "user_id = 7" else 40
    assert f"best: {wrong} users would not get as many recommendations as there are for them" in outcome.err
    assert not (tmp_path / "best").exists()


@pytest.mark.end_to_end
def test_recommendations_from_an_old_lake_are_replaced_for_a_new_one(
    movierate: Movierate, plain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, check = tmp_path / "new", recommending.table_to_write
    for part in ("lake", "model"):
        shutil.copytree(plain_home / part, new / part)
    ledger = new / "lake" / "ledger.json"
    read = hashlib.sha256(ledger.read_bytes()).hexdigest()

    def overtaken(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(recommending, "table_to_write", check)
        prepared = movierate("prepare", "--input", plain_home / "input", "--lake", new / "lake", "--force")
        assert prepared.status == 0
        return check(*arguments, **more)

    monkeypatch.setattr(recommending, "table_to_write", overtaken)
    assert recommend(movierate, new, tmp_path / "best", "--top", 2).status == 0
    (record,) = (tmp_path / "best" / "_runs").glob("*.json")
    assert json.loads(record.read_text())["inputs"]["ledger_sha256"] == read
    assert "unchanged" not in recommend(movierate, new, tmp_path / "best", "--top", 2).out


@pytest.mark.faults
def test_recommend_accepts_five_hundred_occupations(
    spark: SparkSession, movierate: Movierate, fast: Path, tmp_path: Path
) -> None:
    rows = tiny_rows(users=600, movies=9)
    write(tmp_path / "input" / "ratings.csv", ["userId,movieId,rating,timestamp", *map(csv_line, rows)])
    write(
        tmp_path / "input" / "movies.csv",
        ["movieId,title,genres", *(f"{m},No. {m},Drama" for m in range(1, 10))],
    )
    users = [f"{user},{'MF'[user % 2]},25,trade {user % 500},10000" for user in range(1, 601)]
    write(tmp_path / "input" / "users.csv", ["userId,gender,age,occupation,zip", *users])
    pairs = [f"{user},{movie}" for user in (7, 580) for movie in range(1, 10)]
    write(tmp_path / "pairs.csv", ["user_id,movie_id", *pairs])
    inputs = ("--lake", tmp_path / "lake", "--model", tmp_path / "model")
    day = ("--scores", tmp_path / "scores", "--run-date", "2001-06-01", "--reasons", 0)
    options = ("--top", 3, "--at", "2001-06-01")
    for command in (
        ("prepare", "--input", tmp_path / "input", *inputs[:2]),
        ("train", *inputs, "--until", T, "--config", fast),
        ("score", *inputs, "--requests", tmp_path / "pairs.csv", *day),
        ("audience", *inputs, "--movie", 5),
        ("recommend", *inputs, "--out", tmp_path / "best", *options),
    ):
        outcome = movierate(*command)
        assert outcome.status == 0, outcome.err
    names = json.loads((tmp_path / "model" / "bundle.json").read_text())["feature_names"]
    assert sum(name.startswith("occupation=trade ") for name in names) > 300
    seen = {(user, movie) for user, movie, *_ in rows}
    scores = read_table(spark, tmp_path / "scores", schemas.SCORES).collect()
    unseen = [row for row in scores if (row["user_id"], row["movie_id"]) not in seen]
    order = sorted((row["user_id"], -round(row["logit"], 9), row["movie_id"]) for row in unseen)
    best = read_table(spark, tmp_path / "best", schemas.RECOMMENDATIONS)
    assert best.count() == 3 * 600
    picks = best.where("user_id in (7, 580)").sort("user_id", "rank").collect()
    assert [(row["user_id"], row["movie_id"]) for row in picks] == [(user, movie) for user, _, movie in order]
    assert [-row["logit"] for row in picks] == pytest.approx([logit for _, logit, _ in order], abs=1e-8)


def csv_line(row: tuple[int, ...]) -> str:
    return ",".join(map(str, row))


def test_the_audience_is_the_mean_over_each_segments_people(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    lake = open_lake(spark, home / "lake")
    users = lake.users.toPandas()
    write(tmp_path / "pairs.csv", ["user_id,movie_id", *(f"{user},5" for user in users["user_id"])])
    inputs = ("--lake", home / "lake", "--model", home / "model")
    options = (
        "--requests",
        tmp_path / "pairs.csv",
        "--scores",
        tmp_path / "scores",
        "--run-date",
        "2001-06-01",
    )
    movierate("score", *inputs, *options, "--reasons", 0)
    scores = read_table(spark, tmp_path / "scores", schemas.SCORES).toPandas().merge(users, on="user_id")
    outcome = movierate("audience", *inputs, "--movie", 5, "--at", "2001-06-01")
    assert outcome.status == 0, outcome.err
    lines = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in outcome.out.splitlines() if "│" in line
    ]
    means = scores.groupby("gender")["p_like"].agg(["size", "mean"])
    for gender, (people, mean) in means.iterrows():
        assert ["gender", gender, str(int(people)), f"{mean:.3f}"] in [line[:4] for line in lines]
    values = [float(line[3]) for line in lines]
    assert values == sorted(values, reverse=True)
    assert all(int(line[2]) >= 11 for line in lines)
    new = movierate("audience", *inputs, "--genres", "Action|Drama", "--year", 1999, "--top", 2)
    assert new.out.count("│") == 2 * 6
    assert "no movie is of Opera; there are Action" in movierate("audience", *inputs, "--genres", "Opera").err
    assert "no such movie" in movierate("audience", *inputs, "--movie", 999_999).err
    assert "name a movie" in movierate("audience", *inputs).err
