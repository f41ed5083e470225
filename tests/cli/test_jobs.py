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
from deliveries import csv_without_users, ml_1m, ml_100k, write
from helpers import FAST, INTERPRETED, PLAIN, ROOT, SHORT_LIVED, Movierate, T, lake_and_model, listing
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from rich.table import Table

from movierate_spark import schemas
from movierate_spark.features.rows import of_sampled_users
from movierate_spark.model import bundle as bundles
from movierate_spark.progress import Progress, plain_console
from movierate_spark.storage.lake import open_lake
from movierate_spark.storage.tables import read_table
from movierate_spark.workflows import evaluate as evaluation


# Without users, history has no groups. Another layout alone changes no feature: there, a plain model will do.
@pytest.mark.end_to_end
@pytest.mark.parametrize(("make", "settings"), [(ml_100k, PLAIN), (csv_without_users, FAST)])
def test_the_jobs_work_unchanged_on_the_other_layouts(
    movierate: Movierate, tmp_path: Path, make: Callable[[Path], Path], settings: str
) -> None:
    make(tmp_path / "input")
    config = tmp_path / "settings.toml"
    config.write_text(settings)
    prepared = movierate("prepare", "--input", tmp_path / "input", "--lake", tmp_path / "lake")
    assert "ratings: read 800 = accepted 800\n" in prepared.out
    trained = movierate(
        "train", "--lake", tmp_path / "lake", "--model", tmp_path / "model", "--until", T, "--config", config
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


def test_predictions_are_one_row_per_rating_from_since_on(
    spark: SparkSession, movierate: Movierate, plain_home: Path, tmp_path: Path
) -> None:
    common = (*lake_and_model(plain_home), "--since", T, "--out", tmp_path / "e")
    movierate("evaluate", *common)
    every = read_table(spark, tmp_path / "e" / "predictions", schemas.PREDICTIONS)
    lines = (plain_home / "input" / "ratings.dat").read_text().split()
    late = [row for row in lines if int(row.split("::")[3]) >= T]
    assert every.count() == len(late)
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["predictions_version"] == 0
    movierate("evaluate", *common, "--min-user-history", 5)
    some = read_table(spark, tmp_path / "e" / "predictions", schemas.PREDICTIONS)
    users = {row.split("::")[0] for row in lines}
    early = dict.fromkeys(users, 0)
    for row in lines:
        early[row.split("::")[0]] += int(row.split("::")[3]) < T
    assert some.count() == len(late) - sum(max(0, 5 - n) for n in early.values())
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert (metrics["rows"], metrics["predictions_version"]) == (some.count(), 1)


def test_an_evaluation_of_which_rows_are_lost_leaves_nothing(
    movierate: Movierate, plain_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluation.predictions_table
    monkeypatch.setattr(evaluation, "predictions_table", lambda *arguments: whole(*arguments).limit(3))
    common = (*lake_and_model(plain_home), "--since", T, "--out", tmp_path / "e")
    outcome = movierate("evaluate", *common)
    assert outcome.status == 1
    assert "predictions: 3 predictions written, " in outcome.err
    assert not (tmp_path / "e").exists()


def test_a_model_that_is_not_fitted_again_names_the_ratings_that_it_was_fitted_on(
    spark: SparkSession, plain_home: Path
) -> None:
    training = bundles.open_bundle(plain_home / "model").manifest.training
    ratings = open_lake(spark, plain_home / "lake").ratings
    assert not training.refit
    assert training.fitted_until == training.tune_from < training.until
    assert training.rows == ratings.where(F.col("rated_at") < F.lit(training.tune_from)).count()


@pytest.mark.end_to_end
def test_a_model_is_compared_with_another_on_the_same_ratings(
    movierate: Movierate, home: Path, fast: Path, tmp_path: Path
) -> None:
    slow_learner = tmp_path / "plain.toml"
    slow_learner.write_text("[features]\nhistory = false\n[train]\nrefit = false\n")
    settings = ("--config", fast, "--config", slow_learner)
    paths = ("--lake", home / "lake", "--until", T)
    assert movierate("train", *paths, "--model", tmp_path / "plain", *settings).status == 0
    common = ("--lake", home / "lake", "--model", home / "model", "--since", T)
    options = ("--against", tmp_path / "plain", "--leakage-cost", "--ablate", "--config", fast)
    outcome = movierate("evaluate", *common, *options, "--out", tmp_path / "e")
    assert outcome.status == 0, outcome.err
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["intervals"].pop("ece") is None
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
    assert "What the model loses without each family of columns" in outcome.out
    assert 'id="ablation"' in (tmp_path / "e" / "report.html").read_text()


def test_the_second_model_is_named_when_it_is_not_there(
    movierate: Movierate, plain_home: Path, tmp_path: Path
) -> None:
    common = (*lake_and_model(plain_home), "--since", T, "--out", tmp_path / "e")
    outcome = movierate("evaluate", *common, "--against", tmp_path / "none")
    assert outcome.status == 2
    assert "--against" in outcome.err
    assert "--model" not in outcome.err


def test_models_that_mean_different_things_by_liked_are_not_compared(
    movierate: Movierate, plain_home: Path, tmp_path: Path
) -> None:
    shutil.copytree(plain_home / "model", tmp_path / "other")
    manifest = json.loads((tmp_path / "other" / "bundle.json").read_text())
    (tmp_path / "other" / "bundle.json").write_text(json.dumps({**manifest, "label": {"min_rating": 3.0}}))
    common = (*lake_and_model(plain_home), "--since", T, "--out", tmp_path / "e")
    outcome = movierate("evaluate", *common, "--against", tmp_path / "other")
    assert outcome.status == 2
    assert "it calls 3 stars liked, " in outcome.err
    assert not (tmp_path / "e").exists()


@pytest.mark.end_to_end
def test_training_again_at_another_partitioning_swaps_the_manifest_for_the_same_model(
    spark: SparkSession, movierate: Movierate, home: Path, fast: Path, tmp_path: Path
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


@pytest.mark.end_to_end
def test_a_long_log_is_fitted_on_a_sample_of_users_with_the_history_of_everybody(
    spark: SparkSession, movierate: Movierate, home: Path, fast: Path, tmp_path: Path
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


AS_IT_IS = ("[/b]", "[bold]baker[/bold]", ":smile: [x]")


def test_an_occupation_is_shown_as_it_is_written(
    movierate: Movierate, plain_home: Path, tmp_path: Path
) -> None:
    csv_without_users(tmp_path / "input")
    users = [f"{user},{'MF'[user % 2]},25,{AS_IT_IS[user % 3]},10000" for user in range(1, 41)]
    write(tmp_path / "input" / "users.csv", ["userId,gender,age,occupation,zip", *users], encoding="utf-8")
    assert movierate("prepare", "--input", tmp_path / "input", "--lake", tmp_path / "lake").status == 0
    shown = movierate("audience", "--lake", tmp_path / "lake", "--model", plain_home / "model", "--movie", 5)
    assert shown.status == 0, shown.err
    cells = [line.split("│")[2].strip() for line in shown.out.splitlines() if "│ occupation " in line]
    assert sorted(cells) == sorted(AS_IT_IS)


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR"])  # the latter makes any output a terminal
def test_a_path_is_shown_as_it_is_written(
    movierate: Movierate,
    plain_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("COLUMNS", "300")
    out = tmp_path / "data[" / "old] :smile:"
    explored = movierate("explore", "--lake", plain_home / "lake", "--out", out)
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
    output = console.file.getvalue()
    assert output.count("read [/old] :smile:") >= 2  # beside the spinner, and when it is done
    assert output.count("fit [/b] :smile:") >= 2


def test_what_data_contain_can_not_steer_a_terminal() -> None:
    console = plain_console(file=StringIO(), force_terminal=True, width=80)
    table = Table("name")
    table.add_row("x\x1b[2Jy")
    console.print(table)
    console.print("a\x9b2Jb \u202ec\td")
    with Progress(console).step("read \x1b[5mx"):
        pass
    assert isinstance(console.file, StringIO)
    output = console.file.getvalue()
    assert "x\N{REPLACEMENT CHARACTER}[2Jy" in output
    assert "\x1b[5m" not in output
    assert output.count("read \N{REPLACEMENT CHARACTER}[5mx") >= 2  # beside the spinner, and when it is done
    assert "a\N{REPLACEMENT CHARACTER}2Jb \N{REPLACEMENT CHARACTER}c" in output


def test_help_explains_every_option(movierate: Movierate) -> None:
    for command in ("prepare", "explore", "train", "evaluate", "score", "simulate", "demo", "doctor"):
        outcome = movierate(command, "--help")
        assert outcome.status == 0
        assert "--help" in outcome.out


def test_help_is_quick_as_it_imports_nothing_heavy() -> None:
    module = [sys.executable, "-X", "importtime", "-m", "movierate_spark.cli", "--help"]
    done = subprocess.run(module, capture_output=True, text=True, check=True)
    assert done.stdout.lstrip().startswith("Usage: movierate ")
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert imported & {"pyspark", "pandas", "plotly", "numpy"} == set()


def test_doctor_finds_this_machine_fine(movierate: Movierate) -> None:
    outcome = movierate("doctor")
    assert outcome.status == 0, outcome.out
    assert "fine  Java: " in outcome.out


@pytest.mark.end_to_end
def test_spark_submit_trains_like_the_command_line(plain_home: Path, tmp_path: Path) -> None:
    properties = INTERPRETED | SHORT_LIVED | {"spark.sql.shuffle.partitions": "4"}
    options = [part for pair in properties.items() for part in ("--conf", "=".join(pair))]
    submit = [
        Path(sys.executable).with_name("spark-submit"),
        *("--master", "local[2]", *options),
        ROOT / "jobs" / "train.py",
        *("--lake", plain_home / "lake", "--until", T, "--config", plain_home / "settings.toml"),
        *("--model", tmp_path / "submitted"),
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
        json.loads((model / "bundle.json").read_text())
        for model in (plain_home / "model", tmp_path / "submitted")
    )
    assert there["metrics"]["auc"] == pytest.approx(here["metrics"]["auc"], abs=1e-9)
    assert there["feature_names"] == here["feature_names"]


def test_without_arguments_help_is_all_that_is_said_and_the_version_can_be_asked_for(
    movierate: Movierate,
) -> None:
    bare, reply = movierate(), movierate("--version")
    assert (bare.status, bare.err) == (2, "")
    assert "Usage:" in bare.out
    assert (reply.status, reply.err, reply.out) == (0, "", f"movierate-spark {version('movierate-spark')}\n")
