"""A bundle says what it was made of, and is refused if it is not what was published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from deliveries import write
from helpers import RUN_DATE, Movierate, T, listing, one_line
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.errors import InputError
from movierate_spark.model import bundle as bundles
from movierate_spark.model.bundle_files import digests


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


def test_a_bundle_with_a_changed_file_is_refused(movierate: Movierate, home: Path, tmp_path: Path) -> None:
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
    pairs: Path,
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
    inputs = ("--lake", home / "lake", "--model", model, "--requests", pairs)
    outcome = movierate("score", *inputs, "--scores", tmp_path / "scores", "--run-date", RUN_DATE)
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
    pairs: Path,
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
    inputs = ("--lake", home / "lake", "--model", model, "--requests", pairs)
    outcome = movierate("score", *inputs, "--scores", tmp_path / "scores", "--run-date", RUN_DATE)
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
    bundle = bundles.open_bundle(model)
    next(model.rglob("stages/*_HistoryFeatures_*/metadata/part-00000*")).write_text(FORGED)
    resigned(model)
    monkeypatch.setattr(bundles.PipelineModel, "load", lambda *_: pytest.fail("it was loaded"))
    with pytest.raises(InputError, match="its files are not those that were published"):
        _ = bundle.pipeline


def test_rows_that_are_not_what_the_bundle_was_fitted_on_are_refused(spark: SparkSession, home: Path) -> None:
    bundle = bundles.open_bundle(home / "model")
    schema = ", ".join(f"`{name}` {kind}" for name, kind in bundle.manifest.signature.items())
    rows = spark.createDataFrame([], schema)
    with pytest.raises(InputError, match=r"it reads genres \(array<string>\), and the rows have string"):
        bundle.transform(rows.withColumn("genres", F.lit("War")))
    with pytest.raises(InputError, match=r"it reads year \(int\), and the rows have no such column"):
        bundle.transform(rows.drop("year"))
    assert "rawPrediction" in bundle.transform(rows).columns
