from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from movierate_spark import cli
from movierate_spark.config import Settings, load_settings
from movierate_spark.progress import Reporter
from movierate_spark.session import build_session, local_properties

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
sys.path.insert(0, str(Path(__file__).parent))


# A query over a few rows runs in less time than Spark takes to compile it, or to plan it anew on the way.
INTERPRETED = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
COMPILED = {
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
}


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One session for all tests: few shuffle partitions and no compiled queries, as the frames are small."""
    properties = local_properties(cores="2", driver_memory="3g") | INTERPRETED
    properties["spark.sql.shuffle.partitions"] = "4"
    session = build_session("tests", properties)
    yield session
    session.stop()


@pytest.fixture
def compiled(spark: SparkSession) -> Iterator[None]:
    """For tests of many rows: queries compiled, as outside of tests."""
    for name, value in COMPILED.items():
        spark.conf.set(name, value)
    yield
    for name, value in INTERPRETED.items():
        spark.conf.set(name, value)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The defaults, with a smaller grid so that a fit is quick."""
    loaded = load_settings()
    train = loaded.train.model_copy(update={"reg_param": (0.001, 0.01), "elastic_net_param": (0.0,)})
    return loaded.model_copy(update={"train": train})


@pytest.fixture(scope="session")
def report() -> Reporter:
    return Reporter(Console(file=StringIO()))


@dataclass
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def movierate(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Run a command in this process, on the tests' session instead of one of its own."""

    class Shared:
        def __getattr__(self, name: str) -> object:
            return getattr(spark, name)

        def stop(self) -> None:
            pass

    monkeypatch.setattr(cli, "build_session", lambda *_: Shared())

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(int(exit_.value.code or 0), captured.out, captured.err)

    return run


def listing(folder: Path) -> Sequence[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
