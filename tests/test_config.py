from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from chispa import assert_column_equality
from pydantic import BaseModel
from pyspark.sql import SparkSession

from movierate_spark.config import Settings, load_settings
from movierate_spark.errors import InputError
from movierate_spark.inputs.rules import rules_of, with_rule
from movierate_spark.session import properties_in
from movierate_spark.times import parse_time

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_later_files_win_value_by_value(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text('[train]\nthreshold_metric = "f1"\nfolds = 5\n')
    second.write_text("[train]\nfolds = 2\n")
    loaded = load_settings([first, str(second)])
    assert (loaded.train.threshold_metric, loaded.train.folds, loaded.train.max_iter) == ("f1", 2, 50)


def test_the_environment_wins_over_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVIERATE__TRAIN__THRESHOLD_METRIC", "f1")
    assert load_settings().train.threshold_metric == "f1"


# Every setting, by its variable without the prefix: another value than the default's, and what it becomes.
VARIABLES = {
    "INPUT__SEPARATOR": (";", ";"),
    "INPUT__RATING_MIN": ("1.5", 1.5),
    "INPUT__RATING_MAX": ("4.5", 4.5),
    "INPUT__COLUMNS__RATINGS__USER_ID": ("customer", "customer"),
    "INPUT__COLUMNS__RATINGS__MOVIE_ID": ("film", "film"),
    "INPUT__COLUMNS__RATINGS__RATING": ("stars", "stars"),
    "INPUT__COLUMNS__RATINGS__RATED_AT": ("when", "when"),
    "INPUT__COLUMNS__USERS__USER_ID": ("customer", "customer"),
    "INPUT__COLUMNS__USERS__GENDER": ("sex", "sex"),
    "INPUT__COLUMNS__USERS__AGE": ("years", "years"),
    "INPUT__COLUMNS__USERS__OCCUPATION": ("job", "job"),
    "INPUT__COLUMNS__USERS__ZIP": ("code", "code"),
    "INPUT__COLUMNS__MOVIES__MOVIE_ID": ("film", "film"),
    "INPUT__COLUMNS__MOVIES__TITLE": ("name", "name"),
    "INPUT__COLUMNS__MOVIES__GENRES": ("kinds", "kinds"),
    "VALIDATE__MAX_REJECTED_FRACTION": ("0.5", 0.5),
    "VALIDATE__RATED_AT_MIN": ("1995-01-01T00:00:00Z", datetime(1995, 1, 1, tzinfo=UTC)),
    "CLEAN__GENDERS": ('["F", "M", "X"]', ("F", "M", "X")),
    "CLEAN__AGE_MAX": ("99", 99),
    "LABEL__MIN_RATING": ("3.5", 3.5),
    "FEATURES__MONTH": ("never", "never"),
    "FEATURES__HISTORY": ("false", False),
    "FEATURES__COLLABORATIVE": ("false", False),
    "FEATURES__HISTORY_MAX": ("7", 7),
    "FEATURES__NEIGHBOURS_MAX": ("8", 8),
    "FEATURES__TIME_BLOCK_FIRST": ("9", 9),
    "FEATURES__TIME_BLOCK_GROWTH": ("1.5", 1.5),
    "FEATURES__ZIP3_MIN_USERS": ("2", 2),
    "FEATURES__GENRE_MIN_MOVIES": ("2", 2),
    "FEATURES__SHRINKAGE_USER": ("2.5", 2.5),
    "FEATURES__SHRINKAGE_MOVIE": ("2.5", 2.5),
    "FEATURES__SHRINKAGE_TASTE": ("2.5", 2.5),
    "FEATURES__SHRINKAGE_GROUP": ("2.5", 2.5),
    "FEATURES__TASK_MAX_ROWS": ("1000", 1000),
    "TRAIN__TEST_FRACTION": ("0.2", 0.2),
    "TRAIN__TUNE_FRACTION": ("0.2", 0.2),
    "TRAIN__FOLDS": ("2", 2),
    "TRAIN__REG_PARAM": ("[0.1, 0.2]", (0.1, 0.2)),
    "TRAIN__ELASTIC_NET_PARAM": ("[0.0, 1.0]", (0.0, 1.0)),
    "TRAIN__MAX_ITER": ("7", 7),
    "TRAIN__TOL": ("0.01", 0.01),
    "TRAIN__MAX_ROWS": ("7", 7),
    "TRAIN__PARTITIONS": ("7", 7),
    "TRAIN__PARALLELISM": ("1", 1),
    "TRAIN__THRESHOLD_METRIC": ("f1", "f1"),
    "TRAIN__CALIBRATION": ("none", "none"),
    "TRAIN__REFIT": ("false", False),
    "EVALUATE__RESAMPLES": ("7", 7),
    "EVALUATE__SEED": ("7", 7),
    "SCORE__REASONS": ("7", 7),
    "SCORE__DATES_AT_ONCE": ("7", 7),
    "RECOMMEND__MIN_SUPPORT": ("7", 7),
    "RECOMMEND__GENRES": ('["War"]', ("War",)),
    "RECOMMEND__YEAR_MIN": ("1990", 1990),
    "RECOMMEND__YEAR_MAX": ("1999", 1999),
    "REPORT__MIN_CELL": ("7", 7),
    "REPORT__MIN_SUPPORT": ("7", 7),
    "SPARK__CORES": ("1", "1"),
    "SPARK__DRIVER_MEMORY": ("1g", "1g"),
    "SPARK__PROPERTIES": ('{"spark.x": "1"}', {"spark.x": "1"}),
}


def settings_in(section: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Variables of all settings of a section, without the prefix."""
    for name, field in section.model_fields.items():
        path = (*above, field.alias or name)
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_in(kind, path)
        elif get_origin(kind) is dict and get_origin(get_args(kind)[0]) is Literal:
            yield from ("__".join((*path, key)).upper() for key in get_args(get_args(kind)[0]))
        else:
            yield "__".join(path).upper()


def value_of(loaded: Any, variable: str) -> Any:
    for part in variable.lower().split("__"):
        if isinstance(loaded, dict):
            loaded = loaded[part]
        else:
            fields = type(loaded).model_fields.items()
            loaded = getattr(loaded, *(name for name, field in fields if part == (field.alias or name)))
    return loaded


def test_the_variables_are_those_of_every_setting() -> None:
    assert sorted(settings_in(Settings)) == sorted(VARIABLES)


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    text, value = VARIABLES[variable]
    assert value_of(load_settings(), variable) != value
    monkeypatch.setenv(f"MOVIERATE__{variable}", text)
    setting = value_of(load_settings(), variable)
    assert (setting | value if isinstance(value, dict) else value) == setting  # to properties some are added


def test_a_variable_without_the_prefix_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings().model_dump()
    for variable, (text, _) in VARIABLES.items():
        monkeypatch.setenv(variable, text)
    for section in {variable.partition("__")[0] for variable in VARIABLES}:
        monkeypatch.setenv(section, "1")
        monkeypatch.setenv(section.lower(), "1")
    assert load_settings().model_dump() == before


def test_sections_are_written_by_their_own_names() -> None:
    written = load_settings().model_dump(mode="json")
    assert sorted(written) == sorted({variable.partition("__")[0].lower() for variable in VARIABLES})


def test_a_variable_of_no_section_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVIERATE__TRAIM__THRESHOLD", "f1")
    with pytest.raises(InputError, match="MOVIERATE__TRAIM__THRESHOLD: no section traim; there are clean,"):
        load_settings()


def test_a_spark_property_cannot_be_set_by_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVIERATE__SPARK__PROPERTIES__spark.executor.memoryOverhead", "9g")
    with pytest.raises(InputError, match="give them all as JSON in MOVIERATE__SPARK__PROPERTIES"):
        load_settings()
    monkeypatch.delenv("MOVIERATE__SPARK__PROPERTIES__spark.executor.memoryOverhead")
    monkeypatch.setenv("MOVIERATE__SPARK__PROPERTIES", '{"spark.executor.memoryOverhead": "9g"}')
    assert load_settings().spark.properties["spark.executor.memoryOverhead"] == "9g"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nfold = 3\n", "train.fold: Extra inputs"),
        ("[train]\nfolds = 1\n", "train.folds: Input should be greater than or equal to 2"),
        ("[train]\nthreshold_metric = 'best'\n", "train.threshold_metric"),
        ("[train\n", "settings: .*Expected"),
        ("[input]\nrating_min = 5.0\nrating_max = 1.0\n", "rating_min 5.0 is not below"),
        ("[validate]\nmax_rejected_fraction = 2\n", "max_rejected_fraction"),
    ],
)
def test_an_invalid_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        load_settings([file])


@pytest.fixture
def auckland(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that is thirteen hours ahead of UTC in January."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("auckland")
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1995-01-01T00:00:00", "1995-01-01T00:00:00+00:00"),
        ("1995-01-01", "1995-01-01T00:00:00+00:00"),
        ("1995-01-01T00:00:00Z", "1995-01-01T00:00:00+00:00"),
        ("1995-01-01T00:00:00+13:00", "1994-12-31T11:00:00+00:00"),
    ],
)
def test_a_time_in_the_settings_is_in_utc_where_it_names_no_zone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str, expected: str
) -> None:
    (tmp_path / "mine.toml").write_text(f"[validate]\nrated_at_min = {written}\n")
    assert load_settings([tmp_path / "mine.toml"]).validate_.rated_at_min.isoformat() == expected
    monkeypatch.setenv("MOVIERATE__VALIDATE__RATED_AT_MIN", written)
    assert load_settings().validate_.rated_at_min.isoformat() == expected


@pytest.mark.usefixtures("auckland")
def test_a_rating_of_the_first_second_allowed_is_taken_wherever_the_machine_stands(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("[validate]\nrated_at_min = 1995-01-01T00:00:00\n")
    earliest = load_settings([tmp_path / "mine.toml"]).validate_.rated_at_min
    lines = [("788918399", "rated_at"), ("788918400", None)]  # midnight in London, the second before it too
    frame = spark.createDataFrame(
        [(True, "1", "2", "5", second, "x", rule) for second, rule in lines],
        "complete boolean, user_id string, movie_id string, rating string, rated_at string, raw string,"
        " expected string",
    )
    judged = with_rule(frame, rules_of("ratings", scale=(1.0, 5.0), earliest=earliest, latest=NOW))
    assert_column_equality(judged, "rule", "expected")


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
    assert parse_time(text, "until", now=NOW).isoformat() == expected


@pytest.mark.parametrize("text", ["yesterday", "", "2000-13-01", "978300760000", "2027-01-01", "9" * 30])
def test_a_time_that_cannot_be_read_or_has_not_come_is_refused(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_time(text, "until", now=NOW)
    assert refused.value.argument == "until"


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
def test_the_shipped_cluster_settings_are_secure(name: str) -> None:
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
