"""Deliveries that add to a lake: again, late, killed, taken back."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chispa import assert_df_equality
from deliveries import START, ml_1m, title, write
from helpers import Movierate
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

import movierate_spark as mr
from movierate_spark.config import Settings
from movierate_spark.errors import ConflictError
from movierate_spark.features.rows import feature_rows
from movierate_spark.features.state import TOTALS, first_state, summed
from movierate_spark.progress import Progress
from movierate_spark.storage import lake as lakes
from movierate_spark.storage import opened_table
from movierate_spark.storage.documents import Ledger
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.tables import current_files, read_table
from movierate_spark.workflows import add as adding
from movierate_spark.workflows.prepare import Preparation, prepare_lake

Add = Callable[[Path, Path], Ledger]
DAY = 86_400
BASE = [(1, 10, 5, START), (1, 20, 3, START + 9), (2, 10, 4, START + 20)]


@pytest.fixture
def add(spark: SparkSession, settings: Settings, progress: Progress) -> Add:
    def run(source: Path, target: Path) -> Ledger:
        preparation = Preparation(source)
        return adding.add_delivery(spark, settings, progress, preparation=preparation, target=target).ledger

    return run


@pytest.fixture
def prepare(spark: SparkSession, settings: Settings, progress: Progress) -> Add:
    def run(source: Path, target: Path) -> Ledger:
        preparation = Preparation(source)
        return prepare_lake(spark, settings, progress, preparation=preparation, target=target).ledger

    return run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs a lake of :data:`BASE` leaves it for the others."""
    return tmp_path_factory.mktemp("small") / "lake"


@pytest.fixture
def target(small: Path, prepare: Add, tmp_path: Path) -> Path:
    """A lake of :data:`BASE`, of its own for a test."""
    if not (small / "ledger.json").exists():
        prepare(ml_1m(small.parent / "input", BASE), small)
    shutil.copytree(small, tmp_path / "lake")
    return tmp_path / "lake"


def ratings_only(folder: Path, rows: list[tuple[int, int, int, int]]) -> Path:
    write(folder / "ratings.dat", [f"{u}::{m}::{stars}::{second}" for u, m, stars, second in rows])
    return folder


def content(spark: SparkSession, path: Path) -> dict[str, list[Row]]:
    """The rows of a lake's tables; of rejected lines all but their file."""
    ledger, _ = lakes.read_ledger(path)
    tables = {
        name: read_table(spark, path / name, schema, version=ledger.versions[name])
        for name, schema in lakes.schemas.LAKE.items()
    }
    return {
        name: sorted(
            table.drop("source_file").withColumn("rated_at", F.col("rated_at").cast("long")).collect()
            if "rated_at" in table.columns
            else table.drop("source_file").collect(),
            key=str,
        )
        for name, table in tables.items()
    }


def check_state(lake: Lake, settings: Settings) -> None:
    """Its state is that of all ratings before its end, and gives requests the features that these give."""
    state = lake.state
    assert state is not None
    min_rating = settings.label.min_rating
    anew = first_state(
        lake.ratings,
        lake.users,
        settings.features,
        min_rating=min_rating,
        until=state.until,
        has_re_ratings=lake.has_re_ratings,
    )
    assert_df_equality(state.history, anew["history"], ignore_row_order=True, ignore_nullable=True)
    for name in TOTALS:
        rows = (
            summed(name, each).where("n + tenths + likes > 0") for each in (getattr(state, name), anew[name])
        )
        assert_df_equality(*rows, ignore_row_order=True, ignore_nullable=True, allow_nan_equality=True)
    times = [state.until, state.until + timedelta(days=2)]
    requests = lake.users.crossJoin(lake.movies.select("movie_id")).select("user_id", "movie_id")
    requests = requests.withColumn("at", F.explode(F.array(*map(F.lit, times))))
    features = (
        feature_rows(each, settings.features, min_rating=min_rating, requests=requests)
        for each in (lake, replace(lake, state=None))
    )
    assert_df_equality(*features, ignore_row_order=True, ignore_column_order=True, ignore_nullable=True)


@pytest.mark.parametrize("seconds_apart", [1, pytest.param(30_000, marks=pytest.mark.end_to_end)])
def test_deliveries_of_a_part_each_leave_what_one_of_everything_leaves(
    spark: SparkSession, prepare: Add, add: Add, settings: Settings, tmp_path: Path, seconds_apart: int
) -> None:
    chance = random.Random(4)
    # Few users, movies and seconds: many ratings are of the same pair or second, and come late.
    rows = [
        (user, chance.randint(1, 5), chance.randint(1, 5), START + seconds_apart * chance.randint(0, 9))
        for user in chance.choices(range(1, 7), k=160)
    ]
    lines = [f"{u}::{m}::{stars}::{second}" for u, m, stars, second in rows]
    lines[60:60] = ["x::1::5::956703932", " ", "1::2::9::956703932"]
    whole = ml_1m(tmp_path / "whole", [*rows, (7, 6, 5, START)])
    write(whole / "ratings.dat", lines)
    users = (whole / "users.dat").read_text().splitlines()
    movies = (whole / "movies.dat").read_text(encoding="iso-8859-1").splitlines()
    changed = "3::M::56::3::99999"  # is greater than the line that it replaces
    parts = [
        (lines[:40], users[:3], movies[:4]),
        (lines[40:105], [], movies[4:]),
        (lines[105:130], [*users[3:5], changed, users[0]], []),
        (lines[130:], users[5:], movies[2:3]),
    ]
    for number, part in enumerate(parts):
        folder = tmp_path / f"part {number}"
        for name, records in zip(("ratings", "users", "movies"), part, strict=True):
            if records:
                write(folder / f"{name}.dat", records)
        (add if number else prepare)(folder, tmp_path / "lake")
        if number in (1, 3) and seconds_apart > 1:
            check_state(lakes.open_lake(spark, tmp_path / "lake"), settings)
    for name in ("ratings", "users", "movies"):
        records = [line for part in parts for line in part[("ratings", "users", "movies").index(name)]]
        write(whole / f"{name}.dat", records)
    expected = prepare(whole, tmp_path / "one")
    added, _ = lakes.read_ledger(tmp_path / "lake")
    assert content(spark, tmp_path / "lake") == content(spark, tmp_path / "one")
    assert added.content()["tables"] == expected.content()["tables"]
    assert added.state is not None
    assert added.state.until == datetime(2000, 4, 25 if seconds_apart == 1 else 29, tzinfo=UTC)
    assert expected.tables["ratings"].superseded > 10
    assert [sum(each.tables["ratings"].read for each in added.deliveries)] == [163]
    assert [list(each.tables) for each in added.deliveries][1:] == [
        ["ratings", "movies"],
        ["ratings", "users"],
        ["ratings", "users", "movies"],
    ]


def test_a_delivery_is_added_once_and_said_in_lines(
    spark: SparkSession, movierate: Movierate, target: Path, tmp_path: Path
) -> None:
    day = ratings_only(tmp_path / "day", [(1, 10, 4, START + 99), (2, 10, 2, START + 20)])
    arguments = ("prepare", "--input", day, "--lake", target, "--add")
    outcome = movierate(*arguments)
    assert outcome.status == 0, outcome.err
    assert "ratings: read 2 = accepted 1 + superseded 1\n" in outcome.out
    assert outcome.out.endswith(f"lake: {target} (4 ratings, 2 users, 2 movies)\n")
    ledger, _ = lakes.read_ledger(target)
    assert (ledger.tables["ratings"].superseded, ledger.tables["ratings"].re_rated) == (1, 1)
    swapped = ratings_only(tmp_path / "next", [(20, 2, 1, START + 200)])
    next_day = movierate("prepare", "--input", swapped, "--lake", target, "--add")
    assert next_day.out.endswith(f"lake: {target} (5 ratings, 2 users, 2 movies; orphans 1)\n")
    again = movierate(*arguments)
    assert "unchanged: added from the same files before (--force does it again)\n" in again.out
    assert lakes.read_ledger(target)[0].versions["ratings"] == 2
    assert "unchanged" not in movierate(*arguments, "--force").out
    assert len(content(spark, target)["ratings"]) == 5
    short = movierate(*arguments, "--expect-rows", "ratings=3")
    assert (short.status, "2 rows, expected 3" in short.err) == (2, True)


def test_a_full_delivery_replaces_all_that_was_added(
    spark: SparkSession,
    prepare: Add,
    add: Add,
    settings: Settings,
    target: Path,
    small: Path,
    tmp_path: Path,
) -> None:
    before = content(spark, target)
    added = add(ratings_only(tmp_path / "day", [(1, 10, 4, START + 2 * DAY)]), target)
    assert current_files(target / "history")
    ledger = prepare(small.parent / "input", target)
    assert content(spark, target) == before
    assert not ledger.deliveries
    assert ledger.before is not None
    assert len(ledger.before.deliveries) == 2
    assert [current_files(target / name) for name in lakes.schemas.STATE] == [set()] * 3
    assert mr.undo(spark, target).ledger.tables == added.tables
    check_state(lakes.open_lake(spark, target), settings)


def test_users_that_are_delivered_after_the_ratings_get_into_the_state(
    spark: SparkSession, prepare: Add, add: Add, settings: Settings, tmp_path: Path
) -> None:
    users = ml_1m(tmp_path / "input", BASE) / "users.dat"
    (tmp_path / "users").mkdir()
    users.rename(tmp_path / "users" / "users.dat")
    prepare(tmp_path / "input", tmp_path / "lake")
    add(ratings_only(tmp_path / "day", [(1, 10, 4, START + 2 * DAY)]), tmp_path / "lake")
    assert add(tmp_path / "users", tmp_path / "lake").state is not None
    check_state(lakes.open_lake(spark, tmp_path / "lake"), settings)


def test_a_delivery_with_a_time_in_the_future_is_read_again_when_that_has_passed(
    add: Add, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [(1, 20, 4, START + n) for n in range(100, 160)]
    day = ratings_only(tmp_path / "day", [*good, (2, 10, 4, 4_000_000_000), (2, 10, 4, 1)])
    first = add(day, target)
    counts = first.deliveries[1].tables["ratings"]
    assert (counts.by_rule, counts.valid_from) == ({"rated_at": 2}, 4_000_000_000 - DAY)
    assert add(day, target) == first
    monkeypatch.setattr(adding, "time", SimpleNamespace(time=lambda: 4_000_000_000.0))
    assert [each.tables["ratings"].accepted for each in add(day, target).deliveries] == [3, 60, 0]


def test_a_rating_whose_clock_was_ahead_leaves_the_state_before_the_requests_of_today(
    spark: SparkSession,
    add: Add,
    target: Path,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    today = START // DAY * DAY + 3 * DAY
    monkeypatch.setattr(adding, "time", SimpleNamespace(time=lambda: today + 3 * 3600.0))

    def check_end_of_state(name: str, *rows: tuple[int, int, int, int]) -> None:
        ledger = add(ratings_only(tmp_path / name, [*rows]), target)
        assert ledger.state is not None
        assert ledger.state.until.timestamp() == today

    check_end_of_state("ahead", (1, 20, 4, today + 100), (2, 20, 5, today + 2 * DAY + 7))
    # Another machine's clock is days behind: the state's end stays.
    monkeypatch.setattr(adding, "time", SimpleNamespace(time=lambda: today - 10 * DAY))
    check_end_of_state("later", (2, 10, 2, today + 60))
    check_end_of_state("late", (2, 10, 1, today - 2 * DAY))
    check_state(lakes.open_lake(spark, target), settings)


def test_a_higher_rating_of_the_same_second_replaces_the_lower_one(
    spark: SparkSession, add: Add, target: Path, tmp_path: Path
) -> None:
    ledger = add(ratings_only(tmp_path / "day", [(1, 20, 4, START + 9), (2, 10, 1, START + 20)]), target)
    ratings = ledger.tables["ratings"]
    assert (ratings.accepted, ratings.superseded, ratings.re_rated) == (3, 2, 0)
    assert [(row["user_id"], row["rating"]) for row in content(spark, target)["ratings"]] == [
        (1, 5.0),
        (1, 4.0),
        (2, 4.0),
    ]


def test_orphans_are_counted_against_the_whole_lake(add: Add, target: Path, tmp_path: Path) -> None:
    day = ratings_only(tmp_path / "day", [(1, 30, 4, START + 50), (9, 10, 4, START + 60)])
    assert add(day, target).tables["ratings"].orphans == 2
    write(tmp_path / "films" / "movies.dat", [f"30::{title(30)}::Drama"])
    films = add(tmp_path / "films", target)
    assert (films.tables["ratings"].orphans, films.tables["movies"].accepted) == (1, 3)
    more = ratings_only(tmp_path / "more", [(9, 20, 4, START + 70), (2, 20, 4, START + 80)])
    assert add(more, target).tables["ratings"].orphans == 2


def test_an_empty_day_is_an_empty_delivery(
    spark: SparkSession, prepare: Add, add: Add, tmp_path: Path
) -> None:
    header = "userId,movieId,rating,timestamp"
    write(tmp_path / "input" / "ratings.csv", [header, f"1,10,4.5,{START}"])
    write(tmp_path / "input" / "movies.csv", ["movieId,title,genres", "10,Heat (1995),Crime"])
    prepare(tmp_path / "input", tmp_path / "lake")
    before = content(spark, tmp_path / "lake")
    write(tmp_path / "day" / "ratings.csv", [header])
    ledger = add(tmp_path / "day", tmp_path / "lake")
    assert content(spark, tmp_path / "lake") == before
    assert ledger.deliveries[1].tables["ratings"].read == 0
    assert set(ledger.versions.values()) == {0}


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    "step",
    [*(pytest.param(name, marks=pytest.mark.end_to_end) for name in ("ratings", "rejected")), "ledger"],
)
def test_a_killed_run_leaves_the_lake_and_can_be_run_again(
    spark: SparkSession, add: Add, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    day = ml_1m(tmp_path / "day", [(3, 20, 5, START + 7), (1, 20, 5, START + 9), (3, 20, 4, START + 8)])
    with (day / "ratings.dat").open("a") as ratings:
        ratings.writelines(f"3::20::4::{START + n}\n" for n in range(50, 70))
        ratings.write("x::1::1::1\n")
    before = content(spark, target)

    def killed(*arguments: Any, **more: Any) -> Any:
        if step == "ledger":
            raise Killed
        version = commit(*arguments, **more)
        if arguments[0].table.name == step:
            raise Killed
        return version

    commit = lakes.commit
    with monkeypatch.context() as patch:
        patch.setattr(lakes, "replace_json" if step == "ledger" else "commit", killed)
        with pytest.raises(Killed):
            add(day, target)
    assert content(spark, target) == before
    ledger = add(day, target)
    ratings = [tuple(row)[:3] for row in content(spark, target)["ratings"]]
    late = [(3, 20, 4.0)] * 21 + [(3, 20, 5.0)]
    assert sorted(ratings) == sorted([(1, 10, 5.0), (1, 20, 5.0), (2, 10, 4.0), *late])
    assert [row["user_id"] for row in content(spark, target)["users"]] == [1, 2, 3]
    counts = ledger.tables["ratings"]
    assert (counts.read, counts.accepted, counts.rejected, counts.superseded) == (27, 25, 1, 1)
    assert len(content(spark, target)["rejected"]) == 1


def test_of_two_deliveries_at_once_one_is_added_and_the_other_says_so(
    spark: SparkSession, add: Add, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ratings_only(tmp_path / "first", [(1, 10, 4, START + 99)])
    second = ratings_only(tmp_path / "second", [(2, 20, 4, START + 99)])
    publishing = lakes.publishing

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(lakes, "publishing", publishing)
        add(second, target)
        return publishing(*arguments)

    monkeypatch.setattr(lakes, "publishing", overtaken)
    with pytest.raises(ConflictError, match="another run has published its"):
        add(first, target)
    assert len(content(spark, target)["ratings"]) == 4
    add(first, target)
    assert len(content(spark, target)["ratings"]) == 5


def test_the_newest_delivery_can_be_undone_while_its_files_are_there(
    spark: SparkSession, movierate: Movierate, add: Add, target: Path, tmp_path: Path
) -> None:
    day = ratings_only(tmp_path / "day", [(1, 20, 5, START + 9), (2, 20, 4, START + 99)])
    before, ledger = content(spark, target), lakes.read_ledger(target)[0]
    undo = ("prepare", "--lake", target, "--undo")
    nothing = movierate(*undo)
    assert (nothing.status, "nothing to undo" in nothing.err) == (2, True)
    add(day, target)
    after = content(spark, target)
    outcome = movierate(*undo)
    assert outcome.status == 0, outcome.err
    assert "ratings: read 3 = accepted 3\n" in outcome.out
    assert content(spark, target) == before != after
    assert lakes.read_ledger(target)[0].tables == ledger.tables
    assert movierate(*undo).status == 2
    add(day, target)
    assert mr.undo(spark, target).ledger.tables == ledger.tables
    add(day, target)
    assert content(spark, target) == after
    gone = lakes.read_ledger(target)[0].before
    assert gone is not None
    for name in current_files(target / "ratings", version=gone.versions["ratings"]):
        (target / "ratings" / name).unlink(missing_ok=True)
    refused = movierate(*undo)
    assert (refused.status, "are missing (vacuum removes them)" in refused.err) == (2, True)
    assert content(spark, target) == after


def test_many_small_files_are_written_as_one(
    spark: SparkSession, add: Add, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened_table, "MOST_SMALL_FILES", 2)
    files = []
    for day in range(3):
        rated = [(3, 10, 4, START + 100 * day), (2, 20, 1 + day, START + 7)]
        add(ratings_only(tmp_path / f"day {day}", rated), target)
        files.append(current_files(target / "ratings"))
    assert [bool(earlier & later) for earlier, later in pairwise(files)] == [True, False]
    assert [(row["user_id"], row["rating"]) for row in content(spark, target)["ratings"]][-1] == (3, 4.0)
    assert len(content(spark, target)["ratings"]) == 3 + 3 + 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--input", "day", "--lake", "none", "--add"], "no lake there"),
        (["--lake", "lake"], "name the folder of the files"),
        (["--input", "day", "--lake", "lake", "--undo"], "goes with --lake"),
        (["--input", "nothing", "--lake", "lake", "--add"], "none of ratings.dat"),
        (["--input", "day", "--lake", "lake", "--add", "--config", "other.toml"], "other settings"),
    ],
)
def test_what_can_not_be_added_is_refused_in_a_line(
    movierate: Movierate,
    target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ratings_only(tmp_path / "day", [(1, 10, 4, START + 99)])
    (tmp_path / "nothing").mkdir()
    (tmp_path / "other.toml").write_text("[clean]\nage_max = 99\n")
    ledger = (target / "ledger.json").read_bytes()
    outcome = movierate("prepare", *arguments)
    assert outcome.status == 2
    assert problem in outcome.err
    assert (target / "ledger.json").read_bytes() == ledger
    assert not (tmp_path / "none").exists()
