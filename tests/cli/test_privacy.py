"""Nobody is named in what a run leaves behind, the tables themselves aside; nor are its secrets told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import ROW, USER, ZIP, traces, with_canary
from deliveries import ml_1m, write
from helpers import FAST, INTERPRETED, SHORT_LIVED, T
from pyspark.sql import SparkSession

from movierate_spark.config import load_settings
from movierate_spark.errors import InputError
from movierate_spark.redaction import BY_DEFAULT, redacted
from movierate_spark.storage.run_records import recorded

# Tables of rows about people; what else lies beside them is searched.
TABLES = ("lake/ratings", "lake/users", "lake/movies", "lake/rejected", "scores/run_date", "scores/_rejected")
TABLES += ("evaluation/predictions", "best", "input", "requests", "headless")
COMMANDS = """
import shlex, sys
from movierate_spark.cli import main
for line in open(sys.argv[1]):
    try:
        main(shlex.split(line))
    except SystemExit as ended:
        print("status", ended.code, line, flush=True)
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all jobs leave behind that read the canary's rows, refused and failed ones too."""
    home = tmp_path_factory.mktemp("privacy")
    with_canary(ml_1m(home / "input"), instead_of=7)
    write(home / "requests.csv", ["user_id,movie_id", f"{USER},2", "3,4", f"{ROW},{USER}"])
    write(home / "requests-bad.csv", [f"{ROW},{USER}", f"{USER},{ROW}"])
    for table in ("ratings", "movies", "users"):
        write(home / "headless" / f"{table}.csv", [f"{USER},F,25,{ROW},{ZIP}"])
    (home / "events").mkdir()
    properties = {
        **INTERPRETED,
        **SHORT_LIVED,
        "spark.sql.shuffle.partitions": "2",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": (home / "events").as_uri(),
        "spark.local.dir": str(home / "spill"),
    }
    lines = "".join(f'"{name}" = "{value}"\n' for name, value in properties.items())
    own = '[report]\nmin_cell = 2\n[spark]\ncores = "1"\ndriver_memory = "1g"\n[spark.properties]\n'
    (home / "own.toml").write_text(f"{FAST}{own}{lines}")
    (home / "commands").write_text("\n".join(commands()))
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, "commands"], cwd=home, capture_output=True, text=True, check=False
    )
    (home / "out").write_text(done.stdout)
    (home / "err").write_text(done.stderr)
    return home


def commands() -> Iterator[str]:
    lake, model, config = "--lake lake", "--model model", "--config own.toml"
    score = f"score {lake} {model} --scores scores {config}"
    yield f"prepare --input input {lake} {config}"
    yield f"explore {lake} --out exploration {config}"
    yield f"train {lake} {model} --until {T} {config}"
    yield f"evaluate {lake} {model} --since {T} --out evaluation {config}"
    yield f"{score} --requests requests.csv --run-date 2000-12-30"
    yield f"{score} --requests requests.csv --run-date 2000-12-30"
    yield f"{score} --requests requests-bad.csv --run-date 2000-12-31"
    yield f"recommend {lake} {model} --out best --top 3 {config}"
    yield f"audience {lake} {model} --movie 2 {config}"
    yield f"audience {lake} {model} --movie {2**62} {config}"
    yield f"prepare --input headless --lake new {config}"
    yield "runs lake model scores exploration evaluation best"


@pytest.mark.end_to_end
def test_every_job_has_read_the_canarys_rows(left: Path) -> None:
    output = (left / "out").read_text()
    statuses = [line.split()[1:3] for line in output.splitlines() if line.startswith("status ")]
    refused = ("--requests requests-bad", f"--movie {2**62}", "--input headless")
    expected = [[str(2 * any(part in line for part in refused)), line.split()[0]] for line in commands()]
    assert statuses == expected, (left / "err").read_text()
    assert traces(file for file in (left / "lake").rglob("*.parquet"))
    assert traces(file for file in (left / "scores").rglob("*.parquet"))
    assert traces(file for file in (left / "best").rglob("*.parquet"))


@pytest.mark.end_to_end
def test_no_log_record_report_or_model_knows_the_canary(left: Path) -> None:
    inputs = {"own.toml", "commands", "requests.csv", "requests-bad.csv"}
    files = [
        file
        for file in sorted(left.rglob("*"))
        if file.is_file() and file.name not in inputs and not is_table_file(file.relative_to(left))
    ]
    assert {".html", ".csv", ".json"} < {file.suffix for file in files}
    events = [file for file in files if file.is_relative_to(left / "events")]
    assert any('"Event":"SparkListenerJobEnd"' in file.read_text() for file in events)
    assert any(file.is_relative_to(left / "model") and file.suffix == ".parquet" for file in files)
    assert traces(files) == {}


def is_table_file(file: Path) -> bool:
    in_table = any(file.as_posix().startswith(table) for table in TABLES)
    return in_table and not {"_delta_log", "_runs"} & set(file.parts)


PROPERTIES = {
    "spark.hadoop.fs.s3a.access.key": "hunter2",
    "spark.hadoop.fs.s3a.secret.key": "hunter2",
    "spark.executorEnv.DB_PASSWORD": "hunter2",
    "spark.executor.extraJavaOptions": "-Dtrust.Password=hunter2",  # told by its value, not by its name
    "spark.authenticate": "true",
    "spark.executor.memory": "4g",
}


def written(folder: Path, properties: dict[str, str]) -> dict[str, Any]:
    """The Spark properties in the record of a run with these."""
    lines = "".join(f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in properties.items())
    (folder / "own.toml").write_text(f"[spark.properties]\n{lines}")
    with recorded(folder / "lake", "prepare", load_settings([folder / "own.toml"]), []):
        (folder / "lake").mkdir()
    (file,) = (folder / "lake" / "_runs").glob("*.json")
    values = json.loads(file.read_text())["settings"]["spark"]["properties"]
    return {name: values[name] for name in properties}


def test_a_record_tells_no_secret_of_the_settings(tmp_path: Path) -> None:
    hidden = dict.fromkeys(PROPERTIES, "*********(redacted)")
    assert written(tmp_path, PROPERTIES) == {
        **hidden,
        "spark.authenticate": "true",
        "spark.executor.memory": "4g",
    }


def test_what_is_secret_is_said_by_sparks_own_setting(tmp_path: Path) -> None:
    own = {"spark.redaction.regex": "(?i)memory", "spark.x.password": "seen", "spark.executor.memory": "4g"}
    hidden = "*********(redacted)"
    expected = {"spark.redaction.regex": hidden, "spark.x.password": "seen", "spark.executor.memory": hidden}
    assert written(tmp_path, own) == expected


def test_everything_is_secret_where_the_setting_cannot_be_read(tmp_path: Path) -> None:
    own = {"spark.redaction.regex": r"\p{Alpha}secret", "spark.executor.memory": "4g"}
    assert written(tmp_path, own) == dict.fromkeys(own, "*********(redacted)")


def test_keys_of_object_stores_are_hidden_that_spark_does_not_know(tmp_path: Path) -> None:
    own = dict.fromkeys(
        (
            "spark.redaction.regex",
            "spark.hadoop.fs.azure.account.key.ours.dfs.core.windows.net",
            "spark.hadoop.fs.s3a.encryption.key",
            "spark.hadoop.fs.gs.auth.service.account.private.key",
        ),
        "(?i)password",
    )
    names = list(own)[1:]
    assert written(tmp_path, {**own, **dict.fromkeys(names, "value")}) == {
        "spark.redaction.regex": "*********(redacted)",
        **dict.fromkeys(names, "*********(redacted)"),
    }


def test_settings_are_hidden_as_spark_hides_them(spark: SparkSession) -> None:
    jvm: Any = spark._jvm
    setting = jvm.org.apache.spark.internal.config.ConfigEntry.findEntry("spark.redaction.regex")
    assert set(setting.defaultValueString().split("|")) <= set(BY_DEFAULT.split("|"))
    pairs = jvm.java.util.ArrayList()
    for name, value in PROPERTIES.items():
        pairs.add(jvm.scala.Tuple2(name, value))
    listed = jvm.scala.jdk.javaapi.CollectionConverters.asScala(pairs).toSeq()
    configuration = spark.sparkContext._jsc.sc().conf()
    hidden = jvm.org.apache.spark.util.Utils.redact(configuration, listed)
    of_spark = [hidden.apply(i) for i in range(len(PROPERTIES))]
    assert redacted(PROPERTIES) == {pair._1(): pair._2() for pair in of_spark}


def test_a_record_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        written(tmp_path, {})
    finally:
        os.umask(before)
    (file,) = (tmp_path / "lake" / "_runs").iterdir()
    assert oct(file.stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize(
    "text",
    [
        '[spark]\npassword = "hunter2"\n',
        '[spark]\nproperties = "hunter2"\n',
        '[spark.properties]\n"spark.x.password" = ["hunter2"]\n',
        '[train]\nthreshold_metric = "hunter2"\n',
        '[validate]\nrated_at_min = "hunter2"\n',
        '[spark.properties]\n"spark.x.password" = "hunter2\n',
        '[spark.properties]\n"spark.x.password" = hunter2\n',
    ],
)
def test_a_setting_that_does_not_fit_is_named_without_its_value(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InputError, match="settings: ") as refused:
        load_settings([tmp_path / "own.toml"])
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("value", ["hunter2", '{"spark.x.password": ["hunter2"]}'])
def test_a_variable_that_does_not_fit_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MOVIERATE__SPARK__PROPERTIES", value)
    with pytest.raises(InputError, match=r"settings: .*spark") as refused:
        load_settings()
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))
