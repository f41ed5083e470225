from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deliveries import START, csv_without_users, ml_1m, ml_100k, write
from deltalake import DeltaTable
from helpers import Movierate, listing
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from movierate_spark.config import Settings
from movierate_spark.errors import ConflictError, InputError, MovierateError
from movierate_spark.inputs import cleaning as clean
from movierate_spark.inputs import ledger, rules
from movierate_spark.inputs.delivery import FORMATS, Delivery
from movierate_spark.progress import Progress
from movierate_spark.storage import lake
from movierate_spark.storage.documents import Ledger
from movierate_spark.storage.tables import current_files
from movierate_spark.workflows import prepare as preparation

Prepare = Callable[[Path, Path], Ledger]


@pytest.fixture
def prepare(spark: SparkSession, settings: Settings, progress: Progress) -> Prepare:
    def run(source: Path, target: Path) -> Ledger:
        return preparation.prepare_lake(
            spark, settings, progress, preparation=preparation.Preparation(source), target=target
        ).ledger

    return run


@pytest.fixture
def home(plain_home: Path) -> Path:
    """Only its input and its lake are used."""
    return plain_home


@pytest.fixture
def target(home: Path, tmp_path: Path) -> Path:
    """A lake of the 800 ratings of ``ml_1m``, of its own for a test."""
    shutil.copytree(home / "lake", tmp_path / "lake")
    return tmp_path / "lake"


def test_every_row_ends_in_exactly_one_place(spark: SparkSession, prepare: Prepare, tmp_path: Path) -> None:
    folder = ml_1m(tmp_path / "input")
    good = (folder / "ratings.dat").read_bytes()
    bad = b"1::1::5\n1::x::5::978300760\n1::1::9::978300760\n1::1::5::978300760000\n"
    bad += b" \t\n\nx\xe9::1::5::978300760\n"
    again = b"1::1::2::978300760\r\n1::1::4::978300760"
    (folder / "ratings.dat").write_bytes(good + bad + again)
    ledger = prepare(folder, tmp_path / "lake")
    ratings = ledger.tables["ratings"]
    lines = good.count(b"\n") + 7 + 2
    assert ratings.read == lines
    assert ratings.by_rule == {"field_count": 1, "movie_id": 1, "rated_at": 1, "rating": 1, "user_id": 1}
    assert (ratings.rejected, ratings.blank) == (5, 2)
    opened = lake.open_lake(spark, tmp_path / "lake")
    assert opened.ratings.count() == ratings.accepted == lines - 7 - ratings.superseded
    rated = opened.ratings.where("user_id = 1 and movie_id = 1").sort("rated_at").select("rating").collect()
    assert rated[-1] == (4.0,)  # of the second's two the higher
    assert (ratings.superseded, ratings.re_rated) == (1, len(rated) - 1)
    assert opened.latest_ratings.where("user_id = 1 and movie_id = 1").select("rating").collect() == [(4.0,)]
    rejected = lake.read_table(spark, tmp_path / "lake" / "rejected", lake.schemas.REJECTED)
    raws = {tuple(row) for row in rejected.select("rule", "raw", "source_file").collect()}
    assert ("user_id", "xé::1::5::978300760", "ratings.dat") in raws
    assert json.loads((tmp_path / "lake" / "ledger.json").read_text())["tables"] == ledger.content()["tables"]


def test_missing_attributes_are_counted_and_their_rows_stay(prepare: Prepare, tmp_path: Path) -> None:
    folder = ml_1m(tmp_path / "input")
    write(folder / "users.dat", ["1::?::25::4::48067", "2::F::x::99::oops"])
    write(folder / "movies.dat", ["1::Heat::", "2::Up (2009)::Drama"])
    tables = prepare(folder, tmp_path / "lake").tables
    assert tables["users"].unknown == {"gender": 1, "age_group": 1, "occupation": 1, "zip3": 1}
    assert tables["movies"].unknown == {"year": 1, "genres": 1}
    assert tables["users"].accepted == tables["movies"].accepted == 2
    assert tables["ratings"].orphans == tables["ratings"].accepted - 3


def test_a_re_rating_stays_beside_the_earlier_one_and_is_counted(
    spark: SparkSession, movierate: Movierate, tmp_path: Path
) -> None:
    rows = [(1, 10, 5, START), (1, 10, 2, START + 9), (1, 10, 3, START + 9), (2, 10, 4, START)]
    lake_ = ("--lake", tmp_path / "lake")
    outcome = movierate("prepare", "--input", ml_1m(tmp_path / "input", rows), *lake_)
    assert "ratings: read 4 = accepted 3 + superseded 1; re-rated 1\n" in outcome.out
    opened = lake.open_lake(spark, tmp_path / "lake")
    assert opened.has_re_ratings
    stars = [
        tuple(row) for row in opened.latest_ratings.sort("user_id").select("user_id", "rating").collect()
    ]
    assert stars == [(1, 3.0), (2, 4.0)]
    (tmp_path / "all.toml").write_text("[report]\nmin_cell = 2\nmin_support = 2\n")
    explored = movierate("explore", *lake_, "--out", tmp_path / "out", "--config", tmp_path / "all.toml")
    assert "2 ratings by 2 people of 1 movies\n" in explored.out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 of the accepted ratings are of a movie that the user had rated before" in page


@pytest.mark.parametrize("make", [ml_1m, ml_100k, csv_without_users])
def test_each_layout_gives_the_same_ratings_and_movies(
    spark: SparkSession, prepare: Prepare, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    ledger = prepare(make(tmp_path / "input"), tmp_path / "lake")
    opened = lake.open_lake(spark, tmp_path / "lake")
    assert ledger.tables["ratings"].accepted == 800
    movie = opened.movies.where("movie_id = 3").first()
    assert movie is not None
    assert (movie["title"], movie["year"]) == ("Café, No. 3 (1936)", 1936)
    assert sorted(movie["genres"]) == ["Drama", "Film-Noir"]
    user = opened.users.where("user_id = 3").first()
    if make is csv_without_users:
        assert user is None
        assert ledger.tables["ratings"].orphans == 0
    else:
        assert user is not None
        assert (user["gender"], user["zip3"]) == ("F", "100")


def test_a_lake_is_a_delivery_in_parquet(
    spark: SparkSession, prepare: Prepare, target: Path, tmp_path: Path
) -> None:
    second = prepare(target, tmp_path / "copy")
    assert second.format == "parquet"
    one, two = (lake.open_lake(spark, path) for path in (target, tmp_path / "copy"))
    assert second.tables == one.ledger.tables
    for name in ("ratings", "users", "movies"):
        assert getattr(one, name).exceptAll(getattr(two, name)).isEmpty()


def test_preparing_again_replaces_the_lake_in_one_step(
    spark: SparkSession, prepare: Prepare, target: Path, tmp_path: Path
) -> None:
    before = lake.open_lake(spark, target)
    prepare(ml_1m(tmp_path / "second", [(1, 1, 5, 978_300_760)]), target)
    assert lake.open_lake(spark, target).ratings.count() == 1
    assert before.ratings.count() == 800  # a reader that was there before keeps what it opened


def test_too_many_rejected_rows_publish_nothing_and_name_the_rules(prepare: Prepare, tmp_path: Path) -> None:
    folder = ml_1m(tmp_path / "input")
    write(folder / "ratings.dat", ["1::1::5::978300760"] * 18 + ["1::1::9::978300760", "x::1::5::1"])
    with pytest.raises(
        InputError, match=r"2 of 20 ratings rejected, more than .* 0.05 \(rating 1, user_id 1\)"
    ):
        prepare(folder, tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


def test_exactly_the_allowed_fraction_may_be_rejected(prepare: Prepare, tmp_path: Path) -> None:
    folder = ml_1m(tmp_path / "input")
    write(folder / "ratings.dat", [f"1::{m}::5::978300760" for m in range(19)] + ["x::1::5::1"])
    assert prepare(folder, tmp_path / "lake").tables["ratings"].rejected == 1


def test_a_failure_while_publishing_leaves_the_old_lake(
    spark: SparkSession, prepare: Prepare, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "replace_json", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        prepare(ml_1m(tmp_path / "second", [(1, 1, 5, 978_300_760)]), target)
    assert lake.open_lake(spark, target).ratings.count() == 800
    with pytest.raises(OSError, match="disk full"):
        prepare(ml_1m(tmp_path / "third"), tmp_path / "new")
    with pytest.raises(InputError, match="no lake there"):
        lake.open_lake(spark, tmp_path / "new")
    monkeypatch.undo()
    prepare(ml_1m(tmp_path / "third"), tmp_path / "new")
    assert lake.open_lake(spark, tmp_path / "new").ratings.count() == 800


@pytest.mark.parametrize("when", ["before it is written", "half opened", "before the ledger"])
def test_of_two_overlapping_runs_one_loses_and_the_lake_is_the_others(
    spark: SparkSession,
    prepare: Prepare,
    target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    winner = ml_1m(tmp_path / "second", [(1, 1, 5, 978_300_760)])
    owner: Any = preparation if when == "half opened" else lake
    name = {"half opened": "lake_to_write", "before the ledger": "commit"}.get(when, "publishing")
    really = getattr(owner, name)

    def overtaken(*arguments: Any, **more: Any) -> Any:
        made = None if when == "before it is written" else really(*arguments, **more)
        if when == "before the ledger" and arguments[0].table.name != "rejected":
            return made
        monkeypatch.setattr(owner, name, really)
        prepare(winner, target)
        if when == "half opened":  # its ratings are the other run's, and the other tables are not
            return replace(made, tables={**made.tables, "ratings": really(*arguments).tables["ratings"]})
        return really(*arguments, **more) if made is None else made

    monkeypatch.setattr(owner, name, overtaken)
    with pytest.raises(ConflictError, match="another run has published its"):
        prepare(ml_1m(tmp_path / "third", [(1, 1, 4, 978_300_760), (2, 1, 5, 978_300_760)]), target)
    opened = lake.open_lake(spark, target)
    assert [row["rating"] for row in opened.ratings.collect()] == [5.0]
    assert opened.users.count() == opened.movies.count() == 1
    assert prepare(winner, target).versions == opened.ledger.versions


def test_rows_that_do_not_add_up_are_never_published(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = preparation.count_by_rule
    monkeypatch.setattr(preparation, "count_by_rule", lambda lines: {**count(lines), "rating": 1})
    with pytest.raises(MovierateError, match="did the input change"):
        prepare(ml_1m(tmp_path / "input"), tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


def test_a_folder_that_holds_something_else_is_left_alone(prepare: Prepare, tmp_path: Path) -> None:
    target = tmp_path / "home"
    write(target / "thesis.txt", ["years of work"])
    with pytest.raises(InputError, match=r"holds something else \(thesis.txt\)"):
        prepare(ml_1m(tmp_path / "input"), target)
    assert listing(target) == ["thesis.txt"]


pieces = st.sampled_from(
    [b"::", b"1", b"5", b"978300760", b"\n", b"\r\n", b" ", b"\t", b"\x00", b"\xe9", b"x"]
)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=200) | st.lists(pieces, max_size=40).map(b"".join),
    format_name=st.sampled_from(["ml-1m", "csv", "ml-100k"]),
)
def test_any_bytes_add_up_without_an_exception(
    spark: SparkSession, settings: Settings, tmp_path: Path, body: bytes, format_name: str
) -> None:
    known = FORMATS[format_name]
    path = tmp_path / known.files["ratings"][0]
    header = b"userId,movieId,rating,timestamp\n" if format_name == "csv" else b""
    path.write_bytes(header + body)
    delivery = Delivery(known, {"ratings": path}, settings.input)
    now = datetime(2030, 1, 1, tzinfo=UTC)
    lines = preparation._checked(spark, delivery, "ratings", settings, latest=now).persist()
    counts = ledger.row_counts(rules.count_by_rule(lines))
    valid, rejected = rules.split_by_rule("ratings", lines)
    breaks = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    expected = breaks.count(b"\n") + (not breaks.endswith(b"\n") and breaks != b"")
    assert counts.read == expected
    assert (valid.count(), rejected.count()) == (counts.accepted, counts.rejected)
    assert counts.read == counts.accepted + counts.rejected + counts.blank
    assert clean.clean_ratings(valid).count() <= counts.accepted
    lines.unpersist()


def test_the_same_delivery_twice_is_prepared_once(
    movierate: Movierate, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, late = target, tmp_path / "late"
    arguments = ("prepare", "--input", ml_1m(tmp_path / "input"), "--lake", lake)

    def versions(*more: object) -> tuple[bool, int]:
        outcome = movierate(*arguments, *more)
        assert outcome.status == 0, outcome.err
        assert "ratings: read 800 = accepted 800\n" in outcome.out
        unchanged = "unchanged: prepared from the same files before (--force does it again)\n" in outcome.out
        return unchanged, DeltaTable(str(lake / "ratings")).version()

    assert versions() == (True, 0)
    assert versions("--force") == (False, 1)
    movies = tmp_path / "input" / "movies.dat"
    movies.write_bytes(movies.read_bytes().replace(b"Drama", b"War"))
    assert versions() == (False, 2)
    (lake / "movies" / current_files(lake / "movies").pop()).unlink()
    assert versions() == (False, 3)
    (lake / "ledger.json").write_text("{}")
    assert versions() == (False, 4)
    monkeypatch.setattr(preparation, "version", lambda _: "9.9")
    assert versions() == (False, 5)
    ledger = json.loads((lake / "ledger.json").read_text())
    del ledger["tables"]["ratings"]["re_rated"]  # of a version that kept the latest rating of a pair only
    (lake / "ledger.json").write_text(json.dumps(ledger))
    assert versions() == (False, 6)
    (tmp_path / "clean.toml").write_text("[clean]\nage_max = 99\n")
    assert versions("--config", tmp_path / "clean.toml") == (False, 7)
    rows = [(1, 1, 5, START), (1, 2, 3, START), (2, 1, 4, 4_000_000_000)]
    (tmp_path / "half.toml").write_text("[validate]\nmax_rejected_fraction = 0.5\n")
    ahead = ("--input", ml_1m(tmp_path / "ahead", rows), "--lake", late, "--config", tmp_path / "half.toml")
    assert "rejected 1 (rated_at 1)" in movierate("prepare", *ahead).out
    assert "unchanged" in movierate("prepare", *ahead).out
    monkeypatch.setattr("movierate_spark.storage.lake.time", SimpleNamespace(time=lambda: 4_000_000_000.0))
    assert "unchanged" not in movierate("prepare", *ahead).out
