from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from movierate_spark.config import load_settings
from movierate_spark.errors import InputError
from movierate_spark.session import properties_in
from movierate_spark.times import parse_time

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_later_files_win_value_by_value(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text('[train]\nthreshold = "f1"\nfolds = 5\n')
    second.write_text("[train]\nfolds = 2\n")
    loaded = load_settings([first, second])
    assert (loaded.train.threshold, loaded.train.folds, loaded.train.max_iter) == ("f1", 2, 50)


def test_the_environment_wins_over_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVIERATE__TRAIN__THRESHOLD", "f1")
    assert load_settings().train.threshold == "f1"


def test_a_variable_of_no_section_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVIERATE__TRAIM__THRESHOLD", "f1")
    with pytest.raises(InputError, match="MOVIERATE__TRAIM__THRESHOLD: no section traim; there are clean,"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nfold = 3\n", "train.fold: Extra inputs"),
        ("[train]\nfolds = 1\n", "train.folds: Input should be greater than or equal to 2"),
        ("[train]\nthreshold = 'best'\n", "train.threshold"),
        ("[train\n", "settings: .*Expected"),
        ("[input]\nrating_min = 5.0\nrating_max = 1.0\n", "rating_min 5.0 is not below"),
        ("[validate]\nmax_rejected_fraction = 2\n", "max_rejected_fraction"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        load_settings([file])


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_settings([tmp_path / "none.toml"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("975800844", "2000-12-02T23:47:24+00:00"),
        ("2000-12-02T23:47:24Z", "2000-12-02T23:47:24+00:00"),
        ("2000-12-02T23:47:24", "2000-12-02T23:47:24+00:00"),
        ("2000-12-03T01:47:24+02:00", "2000-12-02T23:47:24+00:00"),
        ("2000-12-02", "2000-12-02T00:00:00+00:00"),
    ],
)
def test_times_are_epoch_seconds_or_iso_8601_in_utc(text: str, expected: str) -> None:
    assert parse_time(text, "--until", now=NOW).isoformat() == expected


@pytest.mark.parametrize("text", ["yesterday", "", "2000-13-01", "978300760000", "2027-01-01", "9" * 30])
def test_a_time_that_cannot_be_read_or_has_not_come_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--until"):
        parse_time(text, "--until", now=NOW)


CLUSTERS = ("standalone.conf", "yarn.conf", "kubernetes.conf")
# Read by Spark's launcher, its network library and its Kubernetes volumes, which register no names.
UNREGISTERED = ("spark.master", "spark.network.crypto.cipher")
VOLUMES = "spark.kubernetes.executor.volumes."


@pytest.mark.parametrize("name", [*CLUSTERS, "spark-defaults.conf"])
def test_every_property_is_one_that_spark_knows(spark: SparkSession, name: str) -> None:
    jvm: Any = spark._jvm
    for module in ("deploy.k8s.Config$", "deploy.yarn.config.package$", "internal.config.Deploy$"):
        jvm.java.lang.Class.forName(f"org.apache.spark.{module}").getField("MODULE$").get(None)
    entries = jvm.org.apache.spark.internal.config.ConfigEntry
    unknown = [
        key
        for key in properties_in(name)
        if entries.findEntry(key) is None and key not in UNREGISTERED and not key.startswith(VOLUMES)
    ]
    assert unknown == []


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_is_closed_by_what_we_ship(name: str) -> None:
    closed = {
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.saslFallback": "false",
        "spark.io.encryption.enabled": "true",
        "spark.ui.killEnabled": "false",
    }
    assert closed.items() <= properties_in(name).items()
    assert not any("secret" in key for key in properties_in(name))


def test_a_standalone_master_takes_no_jobs_from_strangers() -> None:
    assert properties_in("standalone.conf")["spark.master.rest.enabled"] == "false"
