"""What a score is: of which requests, as of when, and for which reasons."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from deliveries import START, ml_1m, write
from helpers import Movierate, read_scores, run_records, score
from pyspark.sql import SparkSession

from movierate_spark import schemas
from movierate_spark.model import bundle as bundles
from movierate_spark.storage.tables import read_table
from movierate_spark.workflows import score as scoring


def test_every_readable_request_is_scored_and_the_others_are_kept(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    lines = ["user_id,movie_id,at", "1,2,", "1,2,", "999999,2,", "1,888888,2000-12-01", "7,7,956700000"]
    lines += ["", "x,2,", "1,,", "1,2,tomorrow", "1,2,978300760000", "1,2"]
    write(tmp_path / "requests.csv", lines)
    outcome = score(movierate, home, tmp_path / "requests.csv", tmp_path / "scores")
    assert "requests: read 10 = scored 5 + rejected 5\n" in outcome.out, outcome.err
    rows = read_table(spark, tmp_path / "scores", schemas.SCORES).sort("user_id", "movie_id").collect()
    assert [(r["user_id"], r["movie_id"], r["user_known"], r["movie_known"]) for r in rows] == [
        (1, 2, True, True),
        (1, 2, True, True),
        (1, 888888, True, False),
        (7, 7, False, False),
        (999999, 2, False, True),
    ]
    assert all(0 < row["p_like"] < 1 for row in rows)
    assert {str(row["run_date"]) for row in rows} == {"2000-12-31"}
    assert rows[0]["at"].isoformat().startswith("2000-12-31")
    rejected = read_table(spark, tmp_path / "scores" / "_rejected", schemas.REJECTED_REQUESTS)
    assert {(row["rule"], row["raw"]) for row in rejected.collect()} == {
        ("user_id", "x,2,"),
        ("movie_id", "1,,"),
        ("at", "1,2,tomorrow"),
        ("at", "1,2,978300760000"),
        ("field_count", "1,2"),
    }


def test_users_are_given_different_movies_first(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    pairs = [f"{user},{movie}" for user in range(1, 9) for movie in range(1, 31)]
    write(tmp_path / "requests.csv", ["user_id,movie_id", *pairs])
    score(movierate, home, tmp_path / "requests.csv", tmp_path / "scores")
    rows = read_table(spark, tmp_path / "scores", schemas.SCORES).sort("p_like", ascending=False).collect()
    first = {user: [row["movie_id"] for row in rows if row["user_id"] == user][:10] for user in range(1, 9)}
    assert len({frozenset(movies) for movies in first.values()}) > 4


def test_scores_do_not_depend_on_partitions_nor_on_the_other_requests(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "few.csv", ["user_id,movie_id", *(f"{u},{u % 9 + 1}" for u in range(1, 20))])
    write(
        tmp_path / "many.csv", ["user_id,movie_id", *(f"{u},{m}" for u in range(1, 45) for m in range(1, 12))]
    )
    logits = []
    before = spark.conf.get("spark.sql.shuffle.partitions") or "4"
    for partitions, requests in (("1", "few"), ("8", "many")):
        spark.conf.set("spark.sql.shuffle.partitions", partitions)
        score(movierate, home, tmp_path / f"{requests}.csv", tmp_path / f"scores{partitions}")
        rows = read_table(spark, tmp_path / f"scores{partitions}", schemas.SCORES).collect()
        logits.append({(row["user_id"], row["movie_id"]): row["logit"] for row in rows})
    spark.conf.set("spark.sql.shuffle.partitions", before)
    assert logits[0] == {key: logits[1][key] for key in logits[0]}


def test_a_backfill_does_missing_dates(
    spark: SparkSession, movierate: Movierate, plain_home: Path, tmp_path: Path
) -> None:
    home, folder, scores = plain_home, tmp_path / "requests", tmp_path / "scores"
    days = ("2000-06-01", "2000-09-01", "2000-12-01")
    for day in days:
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
    assert [str(row["run_date"]) for row in read_scores(spark, scores)] == sorted(days * 2)


@pytest.mark.end_to_end
def test_each_date_of_a_backfill_is_scored_as_of_its_own_time(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    days = ("2000-06-01", "2000-09-01", "2000-12-01")
    requests, scores = tmp_path / "requests.csv", tmp_path / "scores"
    write(requests, ["user_id,movie_id,run_date", *(f"{u},{u + 1},{day}" for day in days for u in (1, 2))])
    outcome = score(movierate, home, requests, scores, "--from", days[0], "--to", days[-1])
    assert outcome.status == 0, outcome.err
    for day in days:
        one = tmp_path / f"one-{day}"
        score(movierate, home, requests, one, "--run-date", day)
        of_day = [row for row in read_scores(spark, scores) if str(row["run_date"]) == day]
        assert of_day == read_scores(spark, one)


def test_each_score_is_the_sum_of_its_reasons(
    spark: SparkSession, movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    pairs = [f"{user},{movie}" for user in (1, 2, 3, 999_999) for movie in (1, 2, 888_888)]
    write(tmp_path / "requests.csv", ["user_id,movie_id", *pairs])
    assert score(movierate, home, tmp_path / "requests.csv", tmp_path / "five").status == 0
    rows = read_scores(spark, tmp_path / "five")
    for row in rows:
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
    sources = {reason["feature"] for row in rows for reason in row["reasons"]} - {"other"}
    assert any(source.startswith("user: ") for source in sources)
    assert any(source.startswith("because you rated ") for source in sources)
    assert len(sources) < len(bundle.manifest.feature_names)
    score(movierate, home, tmp_path / "requests.csv", tmp_path / "all", "--reasons", 99)
    whole = read_scores(spark, tmp_path / "all")
    for row, short in zip(whole, rows, strict=True):
        contributions = {reason["feature"]: reason["contribution"] for reason in row["reasons"]}
        assert row["logit"] == short["logit"]
        assert all(contributions[name] == value for name, value in short["reasons"][:-1])
        assert contributions["other"] == pytest.approx(intercept, abs=1e-9)
    score(movierate, home, tmp_path / "requests.csv", tmp_path / "none", "--reasons", 0)
    assert [row["reasons"] for row in read_scores(spark, tmp_path / "none")] == [[]] * len(rows)


def test_scores_from_an_old_lake_are_replaced_for_a_new_one(
    spark: SparkSession,
    movierate: Movierate,
    home: Path,
    pairs: Path,
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
    assert score(movierate, new, pairs, scores).status == 0
    old = read_scores(spark, scores)
    (record,) = run_records(scores)
    read = {name: hashlib.sha256(content).hexdigest() for name, content in before.items()}
    assert record["inputs"]["ledger_sha256"] == read["lake/ledger.json"]
    assert record["inputs"]["lake_versions"]["ratings"] == 0
    assert record["inputs"]["bundle_sha256"] == read["model/bundle.json"]
    again = score(movierate, new, pairs, scores)
    assert "unchanged" not in again.out
    assert score(movierate, new, pairs, fresh).status == 0
    assert read_scores(spark, scores) == read_scores(spark, fresh) != old
