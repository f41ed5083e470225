from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path, PurePath

import pytest
from deliveries import ml_1m
from helpers import (
    COMPILED,
    FAST,
    HOSTILE_TITLES,
    INTERPRETED,
    PLAIN,
    SHORT_LIVED,
    Movierate,
    Outcome,
    Simulated,
    T,
)
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession
from rich.console import Console
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from movierate_spark import cli, session
from movierate_spark.config import Settings, load_settings
from movierate_spark.model.bundle_files import is_version
from movierate_spark.progress import Progress
from movierate_spark.session import build_session, local_properties
from movierate_spark.simulation.files import simulate

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


TOGETHER = {
    "test_jobs.py": "home",
    "test_scores.py": "home",
    "test_recommend.py": "home",
    "test_bundles.py": "home",
    "test_api.py": "home",
    "test_demo.py": "simulated",
    "test_browser.py": "simulated",
    "test_plans.py": "lake with a state",
    "test_state.py": "lake with a state",
}
"""Files whose tests look at the same run: one process makes it."""
SLOW = ("test_jobs.py", "test_scores.py", "test_recommend.py", "test_bundles.py", "test_api.py")
SLOW += ("test_history.py", "test_state.py", "test_plans.py", "test_learning.py", "test_add.py")
SLOW += ("test_score.py", "test_prepare.py", "test_requests.py", "test_faults.py", "test_bad_input.py")
SLOW += ("test_quickstart.py", "test_privacy.py", "test_demo.py", "test_browser.py")
"""Files that begin first, so that no process waits for the other's last file.

While one process makes the homes that most commands are tested on, the other has tests that need none.
"""


class WholeFiles(LoadFileScheduling):
    """Deals whole files to the processes that run the tests, so that what a file shares is made once.

    Groups of pytest-xdist would do, but have no effect with pytest 9.2 (pytest-dev/pytest-xdist#1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return TOGETHER.get(Path(file).name, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return WholeFiles(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One session for all tests: few shuffle partitions and no compiled queries, as the frames are small."""
    properties = local_properties(cores="2", driver_memory="3g") | INTERPRETED | SHORT_LIVED
    properties["spark.sql.shuffle.partitions"] = "2"
    session = build_session("tests", properties)
    yield session
    session.stop()


@pytest.fixture(scope="session", autouse=True)
def pipelines() -> Iterator[None]:
    """Loads the pipeline of each version of a bundle once: it never changes, and takes several Spark jobs."""
    loaded: dict[str, PipelineModel] = {}
    load = PipelineModel.load

    def load_once(path: str) -> PipelineModel:
        version = PurePath(path).parent.name
        if not is_version(version):
            return load(path)
        if version not in loaded:
            loaded[version] = load(path)
        return loaded[version]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PipelineModel, "load", load_once)
        yield


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
def progress() -> Progress:
    return Progress(Console(file=StringIO()))


@pytest.fixture
def movierate(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Movierate:
    """Run a command in this process, on the tests' session instead of one of its own."""

    class Shared:
        def __getattr__(self, name: str) -> object:
            return getattr(spark, name)

        def stop(self) -> None:
            pass

    monkeypatch.setattr(session, "build_session", lambda *_: Shared())

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(int(exit_.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def simulations() -> dict[str, Simulated]:
    """Where the first test that needs the run leaves it for the others."""
    return {}


@pytest.fixture
def simulated(
    spark: SparkSession,
    movierate: Movierate,
    simulations: dict[str, Simulated],
    tmp_path_factory: pytest.TempPathFactory,
) -> Simulated:
    """Simulate, prepare, explore, train and evaluate, once for all tests."""
    if not simulations:
        home = tmp_path_factory.mktemp("simulated")
        truth = simulate(spark, home / "input", ratings=30_000, seed=3)
        _make_hostile(home / "input")
        (home / "base.toml").write_text(PLAIN)
        since, lake = truth["last_tenth"]["since"], ("--lake", home / "lake")
        model = (*lake, "--model", home / "model")
        for command in (
            ("prepare", "--input", home / "input", *lake),
            ("explore", *lake, "--out", home / "exploration"),
            ("train", *model, "--until", since, "--config", home / "base.toml"),
            ("evaluate", *model, "--since", since, "--out", home / "evaluation"),
        ):
            outcome = movierate(*command)
            assert outcome.status == 0, outcome.err
        simulations["base"] = Simulated(home, truth)
    return simulations["base"]


def _make_hostile(folder: Path) -> None:
    rated = [line.split("::")[1] for line in (folder / "ratings.dat").read_text().splitlines()]
    most = [movie for movie, _ in Counter(rated).most_common(len(HOSTILE_TITLES))]
    new = dict(zip(most, HOSTILE_TITLES, strict=True))
    lines = (folder / "movies.dat").read_text(encoding="iso-8859-1").splitlines()
    fields = [line.split("::") for line in lines]
    titled = ["::".join((movie, new.get(movie, title), genres)) for movie, title, genres in fields]
    (folder / "movies.dat").write_text("\n".join(titled) + "\n", encoding="iso-8859-1")


@pytest.fixture
def fast(tmp_path: Path) -> Path:
    (tmp_path / "fast.toml").write_text(FAST)
    return tmp_path / "fast.toml"


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Where the first test that needs a lake and a bundle leaves them for the others, of both processes."""
    folder = tmp_path_factory.getbasetemp()
    homes = (folder if worker_id == "master" else folder.parent) / "homes"
    homes.mkdir(exist_ok=True)
    return homes


@pytest.fixture
def home(homes: Path, movierate: Movierate) -> Path:
    """A delivery, its lake, and a model with all its features."""
    return _trained(homes / "whole", movierate, FAST)


@pytest.fixture
def plain_home(homes: Path, movierate: Movierate) -> Path:
    """The same with a model that knows no history: it is trained, and scores, in a third of the time."""
    return _trained(homes / "plain", movierate, PLAIN)


def _trained(home: Path, movierate: Movierate, settings: str) -> Path:
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "model" / "bundle.json").exists():
            _train(home, movierate, settings)
    return home


def _train(home: Path, movierate: Movierate, settings: str) -> None:
    ml_1m(home / "input")
    (home / "settings.toml").write_text(settings)
    lake = ("--lake", home / "lake")
    model = ("--model", home / "model", "--until", T, "--config", home / "settings.toml")
    for command in (("prepare", "--input", home / "input", *lake), ("train", *lake, *model)):
        outcome = movierate(*command)
        assert outcome.status == 0, outcome.err
