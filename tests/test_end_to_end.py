"""Whole runs: on simulated data against its known truth, on MovieLens 1M, and by spark-submit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome
from deliveries import START, ml_1m
from pyspark.sql import SparkSession

from movierate_spark.simulate import simulate

ROOT = Path(__file__).parent.parent
ONE_FIT = "[train]\nfolds = 2\nreg_param = [0.003]\nelastic_net_param = [0.0]\nmax_iter = 25\n"
BASE_ONLY = f"{ONE_FIT}refit = false\n[features]\nhistory = false\n"


@pytest.mark.usefixtures("compiled")
def test_base_features_come_close_to_the_best_that_they_could_do(
    spark: SparkSession, movierate: Callable[..., Outcome], tmp_path: Path
) -> None:
    truth = simulate(spark, tmp_path / "input", ratings=40_000, seed=3)
    (tmp_path / "base.toml").write_text(BASE_ONLY)
    paths = ("--lake", tmp_path / "lake", "--model", tmp_path / "model")
    since = truth["last_tenth"]["since"]
    assert movierate("prepare", "--input", tmp_path / "input", "--lake", tmp_path / "lake").status == 0
    assert movierate("train", *paths, "--until", since, "--config", tmp_path / "base.toml").status == 0
    assert movierate("evaluate", *paths, "--since", since, "--out", tmp_path / "evaluation").status == 0
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert metrics["rows"] == truth["last_tenth"]["rows"]
    assert metrics["auc"] > truth["last_tenth"]["best_auc_base"] - 0.02
    assert metrics["auc"] < truth["last_tenth"]["best_auc"]
    assert metrics["log_loss"] < metrics["baselines"]["always_like"]["log_loss"]


def movielens_1m() -> Path:
    folder = Path(os.environ.get("MOVIERATE_ML1M", ROOT / "data" / "ml-1m"))
    if not (folder / "ratings.dat").exists():
        pytest.skip("MovieLens 1M is not here: set MOVIERATE_ML1M to its folder, or put it into data/ml-1m")
    return folder


@pytest.mark.usefixtures("compiled")
def test_movielens_1m_is_accounted_for_and_the_model_beats_always_like(
    movierate: Callable[..., Outcome], tmp_path: Path
) -> None:
    source = movielens_1m()
    (tmp_path / "one.toml").write_text(f"{ONE_FIT}refit = false\n")
    paths = ("--lake", tmp_path / "lake", "--model", tmp_path / "model")
    prepared = movierate("prepare", "--input", source, "--lake", tmp_path / "lake")
    lines = (source / "ratings.dat").read_bytes().count(b"\n")
    assert f"ratings: read {lines} = accepted {lines}\n" in prepared.out
    assert "users: read 6040 = accepted 6040" in prepared.out
    trained = movierate("train", *paths, "--until", 975800844, "--config", tmp_path / "one.toml")
    assert trained.status == 0, trained.err
    metrics = json.loads((tmp_path / "model" / "bundle.json").read_text())["metrics"]
    always = metrics["baselines"]["always_like"]
    assert metrics["auc"] > 0.805
    assert metrics["log_loss"] < 0.53
    assert metrics["f1"] > always["f1"] + 0.03
    large = {name: cell for name, cell in metrics["cold_start"].items() if cell["rows"] > 1000}
    assert "known user/known movie" in large
    for cell in large.values():
        for baseline in cell["baselines"].values():
            assert cell["auc"] >= baseline["auc"]
            assert cell["log_loss"] <= baseline["log_loss"]


def test_spark_submit_trains_like_the_command_line(movierate: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "fast.toml").write_text(ONE_FIT)
    movierate("prepare", "--input", ml_1m(tmp_path / "input"), "--lake", tmp_path / "lake")
    options = [
        "--lake",
        tmp_path / "lake",
        "--until",
        START + 150 * 86_400,
        "--config",
        tmp_path / "fast.toml",
    ]
    movierate("train", *options, "--model", tmp_path / "here")
    submit = [
        Path(sys.executable).with_name("spark-submit"),
        *("--master", "local[2]", "--properties-file", ROOT / "conf" / "spark-defaults.conf"),
        *("--conf", "spark.sql.shuffle.partitions=4"),
        *(
            "--conf",
            f"spark.driver.extraJavaOptions=-Dlog4j2.configurationFile={ROOT}/conf/log4j2.properties",
        ),
        *(ROOT / "jobs" / "train.py", *options, "--model", tmp_path / "submitted"),
    ]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
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
        json.loads((tmp_path / name / "bundle.json").read_text()) for name in ("here", "submitted")
    )
    assert there["metrics"]["auc"] == pytest.approx(here["metrics"]["auc"], abs=1e-9)
    assert there["feature_names"] == here["feature_names"]
