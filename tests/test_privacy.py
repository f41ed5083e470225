"""Nobody is named in what a run leaves behind, the tables themselves aside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from canaries import ROW, USER, ZIP, traces, with_canary
from conftest import FAST, INTERPRETED, T
from deliveries import ml_1m, write

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


def test_every_job_has_read_the_canarys_rows(left: Path) -> None:
    said = (left / "out").read_text()
    statuses = [line.split()[1:3] for line in said.splitlines() if line.startswith("status ")]
    refused = ("--requests requests-bad", f"--movie {2**62}", "--input headless")
    wanted = [[str(2 * any(part in line for part in refused)), line.split()[0]] for line in commands()]
    assert statuses == wanted, (left / "err").read_text()
    assert traces(file for file in (left / "lake").rglob("*.parquet"))
    assert traces(file for file in (left / "scores").rglob("*.parquet"))
    assert traces(file for file in (left / "best").rglob("*.parquet"))


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
