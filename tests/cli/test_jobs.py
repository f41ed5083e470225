"""The jobs one after the other on small deliveries, as a person would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
from deliveries import START, csv_without_users, ml_1m, ml_100k, write
from helpers import DAY, INTERPRETED, ROOT, SHORT_LIVED, Outcome, T, listing
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark import schemas, session
from movierate_spark.features.rows import of_sampled_users
from movierate_spark.model import bundle as bundles
from movierate_spark.progress import Progress, plain_console
from movierate_spark.storage.tables import read_table
from movierate_spark.workflows import evaluate as evaluation


@pytest.mark.parametrize("make", [ml_100k, csv_without_users])
def test_the_jobs_work_unchanged_on_the_other_layouts(
    movierate: Callable[..., Outcome], fast: Path, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    make(tmp_path / "input")
    prepared = movierate("prepare", "--input", tmp_path / "input", "--lake", tmp_path / "lake")
    assert "ratings: read 800 = accepted 800\n" in prepared.out
    trained = movierate(
        "train", "--lake", tmp_path / "lake", "--model", tmp_path / "model", "--until", T, "--config", fast
    )
    assert trained.status == 0, trained.err
    explored = movierate("explore", "--lake", tmp_path / "lake", "--out", tmp_path / "exploration")
    assert explored.status == 0, explored.err
    assert "800 ratings by 40 people of 30 movies\n" in explored.out
    evaluated = movierate(
        "evaluate",
        "--lake",
        tmp_path / "lake",
        "--model",
        tmp_path / "model",
        "--since",
        T,
        "--out",
        tmp_path / "e",
    )
    assert evaluated.status == 0, evaluated.err
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["rows"] == metrics["confusion"]["tp"] + sum(
        metrics["confusion"][k] for k in ("fp", "tn", "fn")
    )
    assert set(metrics["baselines"]) == {"always_like", "movie_mean", "user_movie_mean"}


def test_a_bundle_says_what_it_was_made_of(home: Path) -> None:
    bundle = json.loads((home / "model" / "bundle.json").read_text())
    assert bundle["training"]["until"] == "2000-09-22T23:05:32+00:00"
    assert bundle["training"]["refit"] is True
    assert bundle["label"] == {"min_rating": 4.0}
    assert set(bundle["files"]) == {
        f"{bundle['folder']}/{name}"
        for name in listing(home / "model" / bundle["folder"])
        if (home / "model" / bundle["folder"] / name).is_file() and not name.endswith(".crc")
    }
    assert "gender=F" in bundle["feature_names"]
    assert bundle["metrics"]["rows"] > 0


def test_predictions_are_one_row_per_rating_from_since_on(
    spark: SparkSession, movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    common = ("--lake", home / "lake", "--model", home / "model", "--since", T, "--out", tmp_path / "e")
    movierate("evaluate", *common)
    every = read_table(spark, tmp_path / "e" / "predictions", schemas.PREDICTIONS)
    late = [
        row for row in (home / "input" / "ratings.dat").read_text().split() if int(row.split("::")[3]) >= T
    ]
    assert every.count() == len(late)
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["predictions_version"] == 0
    movierate("evaluate", *common, "--min-user-history", 5)
    some = read_table(spark, tmp_path / "e" / "predictions", schemas.PREDICTIONS)
    users = {row.split("::")[0] for row in (home / "input" / "ratings.dat").read_text().split()}
    early = dict.fromkeys(users, 0)
    for row in (home / "input" / "ratings.dat").read_text().split():
        early[row.split("::")[0]] += int(row.split("::")[3]) < T
    assert some.count() == len(late) - sum(max(0, 5 - n) for n in early.values())
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert (metrics["rows"], metrics["predictions_version"]) == (some.count(), 1)


def test_an_evaluation_of_which_rows_are_lost_leaves_nothing(
    movierate: Callable[..., Outcome], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluation._predictions_table
    monkeypatch.setattr(evaluation, "_predictions_table", lambda *given: whole(*given).limit(3))
    common = ("--lake", home / "lake", "--model", home / "model", "--since", T, "--out", tmp_path / "e")
    outcome = movierate("evaluate", *common)
    assert outcome.status == 1
    assert "predictions: 3 predictions written, " in outcome.err
    assert not (tmp_path / "e").exists()


def test_a_model_is_compared_with_another_on_the_same_ratings(
    movierate: Callable[..., Outcome], home: Path, fast: Path, tmp_path: Path
) -> None:
    slow_learner = tmp_path / "plain.toml"
    slow_learner.write_text("[features]\nhistory = false\n[train]\nrefit = false\n")
    settings = ("--config", fast, "--config", slow_learner)
    paths = ("--lake", home / "lake", "--until", T)
    assert movierate("train", *paths, "--model", tmp_path / "plain", *settings).status == 0
    common = ("--lake", home / "lake", "--model", home / "model", "--since", T)
    wanted = ("--against", tmp_path / "plain", "--leakage-cost", "--ablate", "--config", fast)
    outcome = movierate("evaluate", *common, *wanted, "--out", tmp_path / "e")
    assert outcome.status == 0, outcome.err
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    for name, (low, high) in metrics["intervals"].items():
        assert low <= metrics[name] <= high, name
    other = metrics["against"]
    assert other["rows"] == metrics["rows"]
    assert other["difference"]["auc"] == pytest.approx(metrics["auc"] - other["auc"])
    low, high = other["difference_intervals"]["auc"]
    assert low <= other["difference"]["auc"] <= high
    panel = metrics["leakage_cost"]
    assert {split: set(histories) for split, histories in panel.items()} == {
        "time_split": {"as_of", "looking_ahead"},
        "random_split": {"as_of", "looking_ahead"},
    }
    assert panel["time_split"]["as_of"]["rows"] == metrics["rows"]
    assert panel["time_split"]["looking_ahead"]["auc"] > panel["time_split"]["as_of"]["auc"] + 0.05
    assert "What looking ahead would gain" in outcome.out
    whole, *others = metrics["ablation"]
    features = len(bundles.open_bundle(home / "model").manifest.feature_names)
    assert (whole["without"], whole["features"], whole["difference"]["auc"]) == ("nothing", features, 0.0)
    assert whole["auc"] == pytest.approx(metrics["auc"], abs=0.005)  # Platt's calibration keeps the order
    assert {each["without"] for each in others} >= {"people", "neighbours", "all that ratings tell"}
    for each in others:
        assert each["features"] < features
        assert each["difference"]["auc"] == pytest.approx(whole["auc"] - each["auc"])
        low, high = each["difference_intervals"]["log_loss"]
        assert low <= each["difference"]["log_loss"] <= high
    assert "What each family of columns is worth" in outcome.out
    assert 'id="ablation"' in (tmp_path / "e" / "report.html").read_text()


def test_the_second_model_is_named_when_it_is_not_there(
    movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    common = ("--lake", home / "lake", "--model", home / "model", "--since", T, "--out", tmp_path / "e")
    outcome = movierate("evaluate", *common, "--against", tmp_path / "none")
    assert outcome.status == 2
    assert "--against" in outcome.err
    assert "--model" not in outcome.err


def test_models_that_mean_different_things_by_liked_are_not_compared(
    movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "model", tmp_path / "other")
    manifest = json.loads((tmp_path / "other" / "bundle.json").read_text())
    (tmp_path / "other" / "bundle.json").write_text(json.dumps({**manifest, "label": {"min_rating": 3.0}}))
    common = ("--lake", home / "lake", "--model", home / "model", "--since", T, "--out", tmp_path / "e")
    outcome = movierate("evaluate", *common, "--against", tmp_path / "other")
    assert outcome.status == 2
    assert "it calls 3 stars liked, " in outcome.err
    assert not (tmp_path / "e").exists()


def score(
    movierate: Callable[..., Outcome], home: Path, requests: Path, scores: Path, day: str = "2000-12-31"
) -> Outcome:
    inputs = ("--lake", home / "lake", "--model", home / "model", "--requests", requests)
    return movierate("score", *inputs, "--scores", scores, "--run-date", day)


def test_every_readable_request_is_scored_and_the_others_are_kept(
    spark: SparkSession, movierate: Callable[..., Outcome], home: Path, tmp_path: Path
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


def test_a_run_date_is_replaced_and_the_others_stay(
    spark: SparkSession, movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "two.csv", ["user_id,movie_id", "1,2", "3,4"])
    write(tmp_path / "none.csv", ["user_id,movie_id"])
    scores = tmp_path / "scores"

    def days() -> dict[str, int]:
        table = read_table(spark, scores, schemas.SCORES)
        return {str(row["run_date"]): row["count"] for row in table.groupBy("run_date").count().collect()}

    score(movierate, home, tmp_path / "two.csv", scores, "2000-12-30")
    score(movierate, home, tmp_path / "two.csv", scores, "2000-12-31")
    score(movierate, home, tmp_path / "two.csv", scores, "2000-12-31")
    assert days() == {"2000-12-30": 2, "2000-12-31": 2}
    assert score(movierate, home, tmp_path / "none.csv", scores, "2000-12-31").status == 0
    assert days() == {"2000-12-30": 2}


def test_users_are_given_different_movies_first(
    spark: SparkSession, movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    pairs = [f"{user},{movie}" for user in range(1, 9) for movie in range(1, 31)]
    write(tmp_path / "requests.csv", ["user_id,movie_id", *pairs])
    score(movierate, home, tmp_path / "requests.csv", tmp_path / "scores")
    rows = read_table(spark, tmp_path / "scores", schemas.SCORES).sort("p_like", ascending=False).collect()
    first = {user: [row["movie_id"] for row in rows if row["user_id"] == user][:10] for user in range(1, 9)}
    assert len({frozenset(movies) for movies in first.values()}) > 4


def test_scores_do_not_depend_on_partitions_nor_on_the_other_requests(
    spark: SparkSession, movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "few.csv", ["user_id,movie_id", *(f"{u},{u % 9 + 1}" for u in range(1, 20))])
    write(
        tmp_path / "many.csv", ["user_id,movie_id", *(f"{u},{m}" for u in range(1, 45) for m in range(1, 12))]
    )
    found = []
    before = spark.conf.get("spark.sql.shuffle.partitions") or "4"
    for partitions, requests in (("1", "few"), ("8", "many")):
        spark.conf.set("spark.sql.shuffle.partitions", partitions)
        score(movierate, home, tmp_path / f"{requests}.csv", tmp_path / f"scores{partitions}")
        rows = read_table(spark, tmp_path / f"scores{partitions}", schemas.SCORES).collect()
        found.append({(row["user_id"], row["movie_id"]): row["logit"] for row in rows})
    spark.conf.set("spark.sql.shuffle.partitions", before)
    assert found[0] == {key: found[1][key] for key in found[0]}


def test_training_again_at_another_partitioning_swaps_the_manifest_for_the_same_model(
    spark: SparkSession, movierate: Callable[..., Outcome], home: Path, fast: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(home / "model", model)
    first = json.loads((model / "bundle.json").read_text())
    before = spark.conf.get("spark.sql.shuffle.partitions") or "4"
    spark.conf.set("spark.sql.shuffle.partitions", "1")
    movierate("train", "--lake", home / "lake", "--model", model, "--until", T, "--config", fast)
    spark.conf.set("spark.sql.shuffle.partitions", before)
    second = json.loads((model / "bundle.json").read_text())
    assert first["version"] != second["version"]
    assert {first["version"], second["version"]} < set(listing(model))
    assert first["feature_names"] == second["feature_names"]
    for name in ("auc", "log_loss", "f1", "ece"):
        assert first["metrics"][name] == pytest.approx(second["metrics"][name], abs=1e-9)
    assert first["calibration"] == pytest.approx(second["calibration"], abs=1e-9)
    coefficients = [
        bundles.open_bundle(path).pipeline.stages[-1].coefficients.toArray()
        for path in (home / "model", model)
    ]
    assert coefficients[0] == pytest.approx(coefficients[1], abs=1e-9)


def test_a_long_log_is_fitted_on_a_sample_of_users_with_the_history_of_everybody(
    spark: SparkSession, movierate: Callable[..., Outcome], home: Path, fast: Path, tmp_path: Path
) -> None:
    model, few = tmp_path / "model", tmp_path / "few.toml"
    few.write_text(fast.read_text().replace("[train]", "[train]\nmax_rows = 300"))
    trained = movierate("train", "--lake", home / "lake", "--model", model, "--until", T, "--config", few)
    assert trained.status == 0, trained.err
    ratings = read_table(spark, home / "lake" / "ratings", schemas.LAKE["ratings"])
    ratings = ratings.where(F.unix_seconds("rated_at") < T)
    total, fraction = ratings.count(), 300 / ratings.count()
    rows = of_sampled_users(ratings, fraction).count()
    assert 200 < rows < 400 < total
    bundle, everybodys = (json.loads((each / "bundle.json").read_text()) for each in (model, home / "model"))
    training = bundle["training"]
    assert (training["rows"], training["ratings"], training["user_fraction"]) == (rows, total, fraction)
    assert (everybodys["training"]["rows"], everybodys["training"]["user_fraction"]) == (total, 1)
    assert f"trained on {rows} of {total} ratings (those of {fraction:.1%} of the users" in trained.out
    digests = [
        {name.partition("/")[2]: digest for name, digest in each["files"].items() if "/taste/" in name}
        for each in (bundle, everybodys)
    ]
    assert digests[0] == digests[1]
    assert digests[0]


def test_a_sample_without_any_user_cannot_train(
    movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "none.toml").write_text("[train]\nmax_rows = 1\n[features]\ncollaborative = false\n")
    settings = ("--config", tmp_path / "none.toml")
    outcome = movierate("train", "--lake", home / "lake", "--model", tmp_path / "model", *settings)
    assert "0 of 0 ratings reach label.min_rating 4" in one_line(outcome)
    assert "train.max_rows" in outcome.err
    assert not (tmp_path / "model" / "bundle.json").exists()


def one_line(outcome: Outcome) -> str:
    assert outcome.status == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert "Traceback" not in outcome.err
    return outcome.err


def bad_commands(home: Path, folder: Path) -> list[tuple[list[object], str]]:
    """Commands that must fail, with a part of what they say; ``folder`` holds what they are pointed at."""
    lake, model, new, stuff = home / "lake", home / "model", folder / "new", folder / "stuff"
    prepare, train = ["prepare", "--lake", new, "--input"], ["train", "--model", new, "--lake", lake]
    evaluate = ["evaluate", "--lake", lake, "--model", model, "--out", new, "--since"]
    score = ["score", "--lake", lake, "--model", model, "--run-date", "2000-12-31"]
    return [
        ([*prepare, folder / "none"], "does not exist"),
        ([*prepare, stuff], "it holds thesis.txt"),
        ([*prepare, home / "input", "--format", "csv"], "none of ratings.csv"),
        ([*prepare, home / "input", "--format", "xml"], "--format"),
        ([*prepare, home / "input", "--lake", stuff], "holds something else (thesis.txt)"),
        ([*prepare, folder / "bad"], "1 of 1 ratings rejected"),
        (["prepare", "--input", home / "input"], "Missing option '--lake'"),
        ([*train, "--lake", stuff], "no lake there"),
        ([*train, "--model", stuff], "holds something else (thesis.txt)"),
        ([*train, "--until", "2999-01-01"], "in the future"),
        ([*train, "--until", "1999-01-01"], "no ratings before"),
        ([*train, "--until", START + 1], "ratings"),
        ([*train, "--config", folder / "none.toml"], "no such file"),
        ([*evaluate, T, "--model", stuff], "no bundle there"),
        ([*evaluate, T - DAY], "or allow overlap"),
        ([*evaluate, "2010-01-01"], "no ratings to evaluate"),
        ([*evaluate, T, "--until", T], "is not after"),
        ([*evaluate, T, "--out", stuff], "holds something else"),
        ([*score, "--scores", new, "--requests", folder / "none.csv"], "no such file"),
        ([*score, "--scores", new, "--requests", folder / "zero.csv"], "0 bytes"),
        ([*score, "--scores", new, "--requests", folder / "bad.csv"], "missing column(s) user_id, movie_id"),
        ([*score, "--scores", stuff, "--requests", folder / "bad.csv"], "holds something else (thesis.txt)"),
        ([*score, "--scores", new, "--requests", new, "--run-date", "31.12.2000"], "YYYY-MM-DD"),
        (["simulate", "--out", stuff, "--ratings", 2000], "thesis.txt"),
        (["simulate", "--out", new, "--ratings", 3], "ratings"),
        (["demo", "--out", stuff], "holds something else (thesis.txt)"),
        (["vacuum", lake, "--retention-hours", "inf"], "--retention-hours inf: give a number of hours"),
        (["fly"], "No such command 'fly'. (see movierate --help)"),
        (["--fly"], "No such option: --fly (see movierate --help)"),
    ]


def test_bad_input_ends_with_one_line_and_status_2_and_leaves_nothing(
    movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "stuff" / "thesis.txt", ["years of work"])
    write(tmp_path / "bad.csv", ["user,movie", "1,2"])
    (tmp_path / "zero.csv").write_bytes(b"")
    ml_1m(tmp_path / "bad", [(1, 1, 9, START)])
    before = listing(tmp_path)
    for arguments, message in bad_commands(home, tmp_path):
        assert message in one_line(movierate(*arguments)), arguments
        assert listing(tmp_path) == before, arguments


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("prepare", "--input", "none", "--lake", "new"), "none does not exist"),
        (("explore", "--lake", "none", "--out", "new"), "none: no lake there"),
        (("train", "--lake", "none", "--model", "new"), "none: no lake there"),
        (("evaluate", "--lake", "LAKE", "--model", "none", "--since", T, "--out", "new"), "no bundle there"),
        (("recommend", "--lake", "LAKE", "--model", "none", "--out", "new", "--top", 1), "no bundle there"),
        (("audience", "--lake", "none", "--model", "none", "--movie", 1), "none: no lake there"),
        (
            ("score", "--lake", "LAKE", "--model", "MODEL", "--requests", "none.csv", "--scores", "new",
             "--run-date", "2000-12-31"),
            "none.csv: no such file",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_path_is_said_before_spark_starts(
    movierate: Callable[..., Outcome],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.setattr(session, "build_session", lambda *_: pytest.fail("Spark was started"))
    places = {"LAKE": home / "lake", "MODEL": home / "model"}
    assert message in one_line(movierate(*(places.get(str(part), part) for part in command)))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("prepare", "--input", "none", "--lake", "new"), "prepare: --input none does not exist: "),
        (("train", "--lake", "none", "--model", "new"), "train: --lake none: no lake there "),
        (("explore", "--lake", "none", "--out", "new", "--config", "none"), "explore: --config none: no"),
        (("train", "--lake", "none", "--model", "new", "--until", "x"), "train: --until x: give epoch"),
        (("simulate", "--out", "new", "--ratings", 2000, "--re-ratings", 2), "simulate: --re-ratings 2.0 is"),
    ],
)  # fmt: skip
def test_a_line_names_the_command_and_the_option(
    movierate: Callable[..., Outcome], command: tuple[object, ...], said: str
) -> None:
    assert one_line(movierate(*command)).startswith(f"movierate {said}")


def test_ratings_of_one_class_cannot_train(movierate: Callable[..., Outcome], tmp_path: Path) -> None:
    rows = [(u, m, 2, START + u * DAY + m) for u in range(1, 6) for m in range(1, 6)]
    movierate("prepare", "--input", ml_1m(tmp_path / "input", rows), "--lake", tmp_path / "lake")
    outcome = movierate("train", "--lake", tmp_path / "lake", "--model", tmp_path / "model")
    assert "0 of 25 ratings reach label.min_rating 4" in one_line(outcome)
    assert not (tmp_path / "model").exists()


def test_a_bundle_with_a_changed_file_is_refused(
    movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    for change in ("edit", "add", "hide", "remove"):
        model = tmp_path / change
        shutil.copytree(home / "model", model)
        victim = next(model.rglob("metadata/part-00000*"))
        if change == "edit":
            victim.write_bytes(victim.read_bytes() + b" ")
        elif change == "add":
            victim.with_name("part-00001").write_bytes(b"{}")
        elif change == "hide":  # Hadoop's own checksums begin with a dot, and nothing else reads those
            next(model.rglob("data")).joinpath("part-00001.crc").write_bytes(b"{}")
        else:
            victim.unlink()
        outcome = movierate(
            "evaluate", "--lake", home / "lake", "--model", model, "--since", T, "--out", tmp_path / "e"
        )
        assert "not those that were published" in one_line(outcome)


AS_IT_IS = ("[/b]", "[bold]baker[/bold]", ":smile: [x]")


def test_an_occupation_is_shown_as_it_is_written(
    movierate: Callable[..., Outcome], home: Path, tmp_path: Path
) -> None:
    csv_without_users(tmp_path / "input")
    users = [f"{user},{'MF'[user % 2]},25,{AS_IT_IS[user % 3]},10000" for user in range(1, 41)]
    write(tmp_path / "input" / "users.csv", ["userId,gender,age,occupation,zip", *users], encoding="utf-8")
    assert movierate("prepare", "--input", tmp_path / "input", "--lake", tmp_path / "lake").status == 0
    shown = movierate("audience", "--lake", tmp_path / "lake", "--model", home / "model", "--movie", 5)
    assert shown.status == 0, shown.err
    cells = [line.split("│")[2].strip() for line in shown.out.splitlines() if "│ occupation " in line]
    assert sorted(cells) == sorted(AS_IT_IS)


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR"])  # the latter makes any output a terminal
def test_a_path_is_shown_as_it_is_written(
    movierate: Callable[..., Outcome],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("COLUMNS", "300")
    out = tmp_path / "data[" / "old] :smile:"
    explored = movierate("explore", "--lake", home / "lake", "--out", out)
    assert (explored.status, explored.err) == (0, "")
    assert f"write {out}: " in explored.out
    assert f"report: {out}/report.html\n" in explored.out
    listed, whole = movierate("runs", out), movierate("runs", out, "--json")
    assert listed.out.startswith(f"{out}\n")
    assert json.loads(whole.out)["where"] == str(out)
    assert f"{out}/none: no run has left a record there" in movierate("runs", out / "none").err
    prepared = movierate("prepare", "--input", ml_1m(out / "input"), "--lake", out / "lake")
    assert "MarkupError" not in prepared.err  # Hadoop itself takes no colon in a path that it reads


def test_a_step_is_shown_in_a_terminal_as_it_is_written() -> None:
    console = plain_console(file=StringIO(), force_terminal=True, width=80)
    reporter = Progress(console)
    with reporter.step("read [/old] :smile:"):
        pass
    with reporter.steps("fit [/b] :smile:", 2) as advance:
        advance()
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    assert said.count("read [/old] :smile:") >= 2  # beside the spinner, and when it is done
    assert said.count("fit [/b] :smile:") >= 2


def test_help_explains_every_option(movierate: Callable[..., Outcome]) -> None:
    for command in ("prepare", "explore", "train", "evaluate", "score", "simulate", "demo", "doctor"):
        outcome = movierate(command, "--help")
        assert outcome.status == 0
        assert "--help" in outcome.out


def test_doctor_finds_this_machine_fine(movierate: Callable[..., Outcome]) -> None:
    outcome = movierate("doctor")
    assert outcome.status == 0, outcome.out
    assert "fine  Java: " in outcome.out


def test_spark_submit_trains_like_the_command_line(home: Path, fast: Path, tmp_path: Path) -> None:
    properties = INTERPRETED | SHORT_LIVED | {"spark.sql.shuffle.partitions": "4"}
    given = [part for pair in properties.items() for part in ("--conf", "=".join(pair))]
    submit = [
        Path(sys.executable).with_name("spark-submit"),
        *("--master", "local[2]", *given),
        ROOT / "jobs" / "train.py",
        *("--lake", home / "lake", "--until", T, "--config", fast, "--model", tmp_path / "submitted"),
    ]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SPARK_CONF_DIR": str(ROOT / "conf"),
    }
    done = subprocess.run(
        [str(part) for part in submit],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^bundle: .*submitted", done.stdout, re.MULTILINE)
    here, there = (
        json.loads((model / "bundle.json").read_text()) for model in (home / "model", tmp_path / "submitted")
    )
    assert there["metrics"]["auc"] == pytest.approx(here["metrics"]["auc"], abs=1e-9)
    assert there["feature_names"] == here["feature_names"]


def test_without_arguments_help_is_all_that_is_said_and_the_version_can_be_asked_for(
    movierate: Callable[..., Outcome],
) -> None:
    bare, asked = movierate(), movierate("--version")
    assert (bare.status, bare.err) == (2, "")
    assert "Usage:" in bare.out
    assert (asked.status, asked.err, asked.out) == (0, "", f"movierate-spark {version('movierate-spark')}\n")
