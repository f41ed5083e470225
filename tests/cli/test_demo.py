"""Whole runs: on simulated data against its known truth, and on MovieLens 1M."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers import ONE_FIT, ROOT, Movierate, Simulated
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import load_settings
from movierate_spark.features.rows import feature_rows
from movierate_spark.storage.lake import open_lake
from movierate_spark.workflows import demo

pytestmark = pytest.mark.end_to_end


def test_base_features_come_close_to_the_best_that_they_could_do(simulated: Simulated) -> None:
    metrics = json.loads((simulated.folder / "evaluation" / "metrics.json").read_text())
    best = simulated.truth["last_tenth"]
    assert metrics["rows"] == best["rows"]
    assert metrics["auc"] > best["best_auc_base"] - 0.02
    assert metrics["auc"] < best["best_auc"]
    assert metrics["log_loss"] < metrics["baselines"]["always_like"]["log_loss"]


@pytest.mark.usefixtures("compiled")
def test_demo_ends_with_what_it_has_left_the_report_first(
    movierate: Movierate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "RATINGS", 3_000)
    (tmp_path / "one.toml").write_text(ONE_FIT)
    out = tmp_path / "demo"
    outcome = movierate("demo", "--out", out, "--config", tmp_path / "one.toml")
    assert outcome.status == 0, outcome.err
    left = {
        "report": out / "evaluation" / "report.html",
        "exploration": out / "exploration" / "report.html",
        "metrics": out / "evaluation" / "metrics.json",
        "scores": out / "scores",
        "recommendations": out / "recommendations",
        "bundle": out / "model" / "bundle.json",
        "lake": out / "lake" / "ledger.json",
        "input": out / "input",
    }
    assert outcome.out.splitlines()[-len(left) :] == [f"{name}: {path}" for name, path in left.items()]
    assert all(path.exists() for path in left.values())


def movielens_1m() -> Path:
    folder = Path(os.environ.get("MOVIERATE_ML1M", ROOT / "data" / "ml-1m"))
    if not (folder / "ratings.dat").exists():
        pytest.skip("MovieLens 1M is not here: set MOVIERATE_ML1M to its folder, or put it into data/ml-1m")
    return folder


@pytest.mark.usefixtures("compiled")
def test_movielens_1m_is_accounted_for_and_the_model_beats_always_like(
    spark: SparkSession, movierate: Movierate, tmp_path: Path
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
    no_feature_changes_when_its_future_does(spark, tmp_path / "lake")


def no_feature_changes_when_its_future_does(spark: SparkSession, lake: Path) -> None:
    """Compare all features before a cut bit by bit: later ratings removed, and later ratings relabelled."""
    opened = open_lake(spark, lake)
    ratings = opened.ratings.where("rated_at < '2000-08-21'")
    cut = datetime(2000, 8, 3, 12, 34, 56, tzinfo=UTC)
    late = F.col("rated_at") >= F.lit(cut)
    rating = F.when(late, 6 - F.col("rating")).otherwise(F.col("rating"))
    features = load_settings().features

    def before_the_cut(frame: DataFrame) -> Row | None:
        rows = feature_rows(replace(opened, ratings=frame), features, min_rating=4.0)
        seen = rows.where(F.col("at") < F.lit(cut))
        return seen.agg(F.count("*"), F.bit_xor(F.xxhash64(*sorted(seen.columns)))).head()

    removed = before_the_cut(ratings.where(~late))
    assert removed is not None
    assert removed[0] > 250_000
    assert before_the_cut(ratings.withColumn("rating", rating)) == removed
