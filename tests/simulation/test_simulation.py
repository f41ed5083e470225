from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.errors import InputError
from movierate_spark.simulation import files as simulation
from movierate_spark.simulation.files import FILES, simulate, workspace
from movierate_spark.simulation.rows import movies, rated, sizes_for, users
from movierate_spark.simulation.truth import (
    GENRE,
    figures,
    last_tenth_since,
    movie_appeal,
    user_tastes,
    with_logits,
)

RATINGS, SEED = 3_000, 7


class World(NamedTuple):
    out: Path
    truth: dict[str, Any]


@pytest.fixture(scope="module")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> World:
    out = tmp_path_factory.mktemp("simulated") / "new" / "world"
    return World(out, simulate(spark, out, ratings=RATINGS, seed=SEED))


@pytest.fixture(scope="module")
def ratings(world: World) -> pd.DataFrame:
    rows = np.array(fields(world.out / "ratings.dat"), dtype="int64")
    return pd.DataFrame(rows, columns=["user", "movie", "stars", "second"])


@pytest.fixture
def other_partitioning(spark: SparkSession) -> Iterator[None]:
    settings = {
        "spark.sql.shuffle.partitions": "7",
        "spark.sql.leafNodeDefaultParallelism": "3",
        "spark.sql.adaptive.enabled": "false",  # it would merge all that is small into one
    }
    before = {name: spark.conf.get(name, None) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    yield
    for name, former in before.items():
        if former is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, former)


def fields(file: Path) -> list[list[str]]:
    return [line.split("::") for line in file.read_text(encoding="ISO-8859-1").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def rank_auc(score: pd.Series, liked: pd.Series) -> float:
    ones, others = int(liked.sum()), int((~liked).sum())
    return float((score.rank()[liked].sum() - ones * (ones + 1) / 2) / (ones * others))


def test_the_requested_number_of_ratings_is_written(ratings: pd.DataFrame) -> None:
    assert len(ratings) == RATINGS
    assert not ratings.duplicated(["user", "movie"]).any()


def test_a_share_of_the_ratings_is_of_movies_rated_before(spark: SparkSession, ratings: pd.DataFrame) -> None:
    sizes = sizes_for(RATINGS)
    people, films = users(spark, sizes, seed=SEED), movies(spark, sizes, seed=SEED)
    rows = rated(people, films, sizes, seed=SEED, re_ratings=0.3).toPandas()
    assert len(rows) == RATINGS
    assert not rows.duplicated(["user_id", "movie_id", "second"]).any()
    rows = rows.sort_values(["user_id", "second", "movie_id"], ignore_index=True)
    assert (rows["second"] == ratings["second"]).all()
    again = rows.duplicated(["user_id", "movie_id"])
    assert 0.2 < again.mean() < 0.3
    changed_mind = rows[rows.duplicated(["user_id", "movie_id"], keep=False)].groupby(["user_id", "movie_id"])
    assert 0.2 < (changed_mind["stars"].nunique() > 1).mean() < 0.9


def test_ratings_are_sorted_by_user_then_time_then_movie(ratings: pd.DataFrame) -> None:
    assert ratings.sort_values(["user", "second", "movie"]).index.equals(ratings.index)


def test_every_user_rates_at_least_20_movies_and_none_most_of_them(ratings: pd.DataFrame) -> None:
    sizes = sizes_for(RATINGS)
    counts = ratings["user"].value_counts()
    assert set(counts.index) == set(range(1, sizes.users + 1))
    assert counts.min() >= 20
    assert counts.max() < 0.65 * sizes.movies
    assert counts.max() > 3 * counts.median()


def test_users_have_the_layout_of_ml_1m(world: World) -> None:
    rows = fields(world.out / "users.dat")
    assert [int(row[0]) for row in rows] == list(range(1, sizes_for(RATINGS).users + 1))
    for _, gender, age, occupation, zip_code in rows:
        assert gender in ("F", "M")
        assert int(age) in (1, 18, 25, 35, 45, 50, 56)
        assert 0 <= int(occupation) <= 20
        assert occupation != "10" or age == "1"
        assert re.fullmatch(r"\d{5}(-\d{4})?", zip_code)


def test_movies_have_the_layout_of_ml_1m(world: World) -> None:
    rows = fields(world.out / "movies.dat")
    assert [int(row[0]) for row in rows] == list(range(1, sizes_for(RATINGS).movies + 1))
    for _, title, genres in rows:
        named = genres.split("|")
        assert 1 <= len(named) <= 4
        assert named == sorted(set(named) & set(GENRE))
        assert re.fullmatch(r"\S.* \((19[2-9]\d|2000)\)", title)
    assert any("é" in title for _, title, _ in rows)


def test_most_ratings_share_their_second_with_another_of_the_user(ratings: pd.DataFrame) -> None:
    assert 0.65 < ratings.duplicated(["user", "second"], keep=False).mean() < 0.85


def test_ratings_spread_over_years_and_over_days_for_part_of_the_users(ratings: pd.DataFrame) -> None:
    first, last = pd.to_datetime(ratings["second"].agg(["min", "max"]), unit="s")
    assert first >= pd.Timestamp("2000-04-25")
    assert pd.Timedelta(days=600) < last - first < pd.Timedelta(days=2_000)
    days = ratings.groupby("user")["second"].agg(lambda seconds: np.ptp(seconds) / 86_400)
    assert 0.1 < (days > 1).mean() < 0.8


def test_popular_movies_take_most_ratings_and_the_order_of_rating_ignores_it(ratings: pd.DataFrame) -> None:
    count = ratings.groupby("movie")["user"].transform("size")
    sizes = sizes_for(RATINGS)
    assert count.max() > 0.4 * sizes.users
    assert ratings["movie"].value_counts().head(sizes.movies // 10).sum() > 0.3 * RATINGS
    turn = ratings.groupby("user")["second"].rank(pct=True)
    assert abs(np.corrcoef(turn, count)[0, 1]) < 0.1


def test_truth_is_what_was_returned_and_its_figures_are_plausible(
    world: World, ratings: pd.DataFrame
) -> None:
    truth = json.loads((world.out / "truth.json").read_text(encoding="utf-8"))
    assert truth == world.truth
    assert truth["seed"] == SEED
    assert truth["re_ratings"] == 0
    assert truth["sizes"] == {"ratings": RATINGS, "users": 20, "movies": 909}
    assert truth["like_rate"] == (ratings["stars"] >= truth["min_rating"]).mean()
    assert 0.45 < truth["like_rate"] < 0.7
    assert 0.8 < truth["best_auc"] < 0.88
    assert 0.72 < truth["best_auc_means"] < truth["best_auc"] - 0.04
    assert 0.6 < truth["best_auc_base"] < 0.73


def test_best_aucs_agree_with_ranks(spark: SparkSession, world: World, ratings: pd.DataFrame) -> None:
    sizes = sizes_for(RATINGS)
    people, films = users(spark, sizes, seed=SEED), movies(spark, sizes, seed=SEED)
    rows = rated(people, films, sizes, seed=SEED).toPandas()
    rows = rows.sort_values(["user_id", "second", "movie_id"], ignore_index=True)
    assert (rows["stars"] == ratings["stars"]).all()
    late = rows[rows["second"] >= world.truth["last_tenth"]["since"]]
    assert len(late) == world.truth["last_tenth"]["rows"]
    for part, truth in ((rows, world.truth), (late, world.truth["last_tenth"])):
        liked = part["stars"] >= 4
        assert truth["best_auc"] == pytest.approx(rank_auc(part["logit"], liked), abs=1e-9)
        assert truth["best_auc_means"] == pytest.approx(rank_auc(part["level"], liked), abs=1e-9)
        assert truth["best_auc_base"] == pytest.approx(rank_auc(part["base"], liked), abs=1e-9)


def test_labels_follow_the_planted_probability(spark: SparkSession) -> None:
    sizes = sizes_for(20_000)
    people, films = users(spark, sizes, seed=SEED), movies(spark, sizes, seed=SEED)
    rows = rated(people, films, sizes, seed=SEED).select("logit", "stars").toPandas()
    probability = 1 / (1 + np.exp(-rows["logit"]))
    by_tenth = pd.DataFrame({"p": probability, "liked": rows["stars"] >= 4}).groupby(
        pd.qcut(probability, 10), observed=True
    )
    assert (by_tenth["liked"].mean() - by_tenth["p"].mean()).abs().max() < 0.05


@pytest.fixture(scope="module")
def tastes(spark: SparkSession) -> pd.DataFrame:
    """What taste adds to the log odds of each movie (row) for each user (column)."""
    sizes = sizes_for(20_000)
    people = user_tastes(users(spark, sizes, seed=SEED), seed=SEED)
    appeal = movie_appeal(movies(spark, sizes, seed=SEED), seed=SEED, count=sizes.movies)
    pairs = people.crossJoin(appeal).withColumn("second", F.lit(0))
    rows = with_logits(pairs).select("user_id", "movie_id", (F.col("logit") - F.col("level")).alias("taste"))
    return rows.toPandas().pivot(index="movie_id", columns="user_id", values="taste").sort_index()


def test_taste_has_the_recorded_size(world: World, tastes: pd.DataFrame) -> None:
    effects = world.truth["effects"]
    assert np.linalg.matrix_rank(tastes.to_numpy(), tol=1e-6) == effects["taste_dimensions"] == 4
    assert tastes.to_numpy().std() == pytest.approx(effects["taste_sd"], abs=0.1)
    assert tastes.mean(axis=0).abs().max() < 0.2  # a user's level is not part of it
    assert tastes.mean(axis=1).abs().max() < 0.5


def test_taste_cannot_be_told_from_genres(spark: SparkSession, tastes: pd.DataFrame) -> None:
    films = movies(spark, sizes_for(20_000), seed=SEED).toPandas().set_index("movie_id").sort_index()
    has_genre = films["genres"].str.join("|").str.get_dummies().to_numpy()
    left = np.linalg.lstsq(has_genre, tastes.to_numpy(), rcond=None)[0]
    explained = 1 - (tastes.to_numpy() - has_genre @ left).var() / tastes.to_numpy().var()
    assert explained < 0.04  # 18 genres explain 18 of 1,460 movies


def test_auc_counts_ties_as_half_and_tells_scores_apart_beyond_the_buckets(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [
            (5, 9.5, 0.2, 0.1),
            (3, 9.0, 0.1, 0.1),
            (4, 0.1, 0.1, 0.1),
            (1, 0.1, 0.0, -0.1),
            (2, -20.0, 0.2, 0.1),
        ],
        "stars int, logit double, level double, base double",
    )
    result = figures(rows)
    # Of six pairs: logit has four right, one tied; level three and two; base two and four.
    aucs = {"best_auc": 4.5 / 6, "best_auc_means": 4.0 / 6, "best_auc_base": 4.0 / 6}
    assert result == {"rows": 5, "liked": 2, **aucs}


def test_auc_of_a_single_class_is_unknown(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [(5, 0.5, 0.3, 0.1), (4, 0.2, 0.3, 0.1)], "stars int, logit double, level double, base double"
    )
    unknown = dict.fromkeys(("best_auc", "best_auc_means", "best_auc_base"))
    assert figures(rows) == {"rows": 2, "liked": 2, **unknown}


@pytest.mark.parametrize(
    ("seconds", "since"),
    [
        pytest.param([*range(20)], 18, id="exactly a tenth"),
        pytest.param([*range(17), 90_000, 90_000, 90_000], 90_000, id="never between equal seconds"),
        pytest.param([*range(19), 90_000], 18, id="over midnight"),
    ],
)
def test_the_last_tenth_starts_between_two_seconds(
    spark: SparkSession, seconds: list[int], since: int
) -> None:
    rows = spark.createDataFrame([(second,) for second in seconds], "second long")
    assert last_tenth_since(rows, rows=20) == since


@pytest.mark.usefixtures("other_partitioning")
def test_files_are_the_same_in_any_partitioning(spark: SparkSession, world: World, tmp_path: Path) -> None:
    simulate(spark, tmp_path, ratings=RATINGS, seed=SEED)
    assert contents(tmp_path) == contents(world.out)


def test_another_seed_replaces_an_earlier_simulation(
    spark: SparkSession, world: World, tmp_path: Path
) -> None:
    for name, content in contents(world.out).items():
        (tmp_path / name).write_bytes(content)
    simulate(spark, tmp_path, ratings=1_000, seed=SEED + 1)
    after = contents(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "truth.json"}
    assert all(after[name] != content for name, content in contents(world.out).items())
    assert len(fields(tmp_path / "ratings.dat")) == 1_000


def test_a_folder_with_something_else_is_refused_and_untouched(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds something else \(ratings\.dat\): name a new folder"):
        simulate(spark, tmp_path, ratings=1_000, seed=SEED)
    assert contents(tmp_path) == {"ratings.dat": b"1::1193::5::978300760\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["ratings.dat"]


def test_a_file_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="is a file"):
        simulate(spark, out, ratings=1_000, seed=SEED)
    with pytest.raises(InputError, match="Not a directory"):
        simulate(spark, out / "below", ratings=1_000, seed=SEED)
    assert out.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("argument", "value"),
    [("ratings", 999), ("ratings", 1_000_000_001), ("seed", -1), ("seed", 2**63), ("re_ratings", 2)],
)
def test_sizes_seeds_and_shares_out_of_range_are_refused(
    spark: SparkSession, tmp_path: Path, argument: str, value: int
) -> None:
    numbers = {"ratings": 1_000, "seed": 1, "re_ratings": 0} | {argument: value}
    with pytest.raises(InputError, match=f"^{value} is out of range") as refused:
        simulate(spark, tmp_path / "out", **numbers)
    assert refused.value.argument == argument
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_the_earlier_simulation_and_no_new_folder(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_spark: SparkSession, work: Path, *_sizes: object, **_options: object) -> dict[str, Any]:
        (work / "ratings.dat").write_text("half a file", encoding="utf-8")
        raise OSError("disk full")

    monkeypatch.setattr(simulation, "write_files", fail)
    former = tmp_path / "former"
    former.mkdir()
    (former / "truth.json").write_text("{}", encoding="utf-8")
    for out in (former, tmp_path / "new"):
        with pytest.raises(OSError, match="disk full"):
            simulate(spark, out, ratings=1_000, seed=SEED)
    assert [path.name for path in former.iterdir()] == ["truth.json"]
    assert not (tmp_path / "new").exists()


def test_a_folder_left_by_a_killed_run_is_used_again(tmp_path: Path) -> None:
    left = tmp_path / ".simulation" / "rated"
    left.mkdir(parents=True)
    (tmp_path / "ratings.dat").write_text("published, but without its truth", encoding="utf-8")
    with workspace(tmp_path) as work:
        assert list(work.iterdir()) == []
