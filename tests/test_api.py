"""What a notebook calls gives what the commands give, and prints nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deliveries import write
from helpers import Movierate, T, score
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import movierate_spark as mr
from movierate_spark import schemas
from movierate_spark.errors import InputError, MovierateWarning
from movierate_spark.features.rows import second_after_last
from movierate_spark.model.scoring import rows_for, tables_for
from movierate_spark.storage.tables import read_table

AT = datetime(2000, 12, 31, tzinfo=UTC)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, movierate_spark; print({'pyspark', 'pandas', 'plotly', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert [name for name in mr.__all__ if getattr(mr, name, None) is None] == []
    assert dir(mr) == mr.__all__ == sorted(mr.__all__)
    with pytest.raises(AttributeError, match="module 'movierate_spark' has no attribute 'predict'"):
        _ = mr.predict  # type: ignore[attr-defined]


def test_predict_gives_the_scores_of_the_command(
    spark: SparkSession, movierate: Movierate, plain_home: Path, tmp_path: Path
) -> None:
    lake, bundle = mr.open_lake(spark, str(plain_home / "lake")), mr.load_bundle(plain_home / "model")
    pairs = spark.createDataFrame(
        [(1, 2, AT, "a"), (1, 2, AT, "b"), (999_999, 888_888, AT, "c")],
        "user_id long, movie_id long, at timestamp, note string",
    )
    predicted = bundle.predict(lake, pairs)
    assert predicted.columns == [*(name for name in schemas.SCORES.names if name != "run_date"), "note"]
    rows = predicted.sort("note").drop("note").collect()
    write(tmp_path / "requests.csv", ["user_id,movie_id", "1,2", "1,2", "999999,888888"])
    assert score(movierate, plain_home, tmp_path / "requests.csv", tmp_path / "scores").status == 0
    scores = read_table(spark, tmp_path / "scores", schemas.SCORES).drop("run_date").sort("user_id")
    assert rows == scores.collect()
    assert [row["user_known"] for row in rows] == [True, True, False]
    latest = bundle.predict(lake, pairs.select("user_id", "movie_id").limit(1), reasons=0).first()
    assert latest is not None
    assert latest["at"] > datetime(2000, 4, 25)
    assert latest["reasons"] == []
    incomplete = {
        (1, 2, None): "a pair without a time: fill the column at, or leave it out",
        (None, 2, AT): "a pair without user_id",
        (1, None, AT): "a pair without movie_id",
    }
    for pair, problem in incomplete.items():
        with pytest.raises(Exception, match=problem):
            bundle.predict(lake, spark.createDataFrame([pair], pairs.drop("note").schema)).collect()


def test_a_session_with_another_time_zone_is_refused(
    spark: SparkSession, plain_home: Path, tmp_path: Path
) -> None:
    session = spark.newSession()
    session.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    with pytest.raises(mr.InputError, match="the session's time zone is Europe/Berlin: set "):
        mr.open_lake(session, plain_home / "lake")
    with pytest.raises(mr.InputError, match="time zone"):
        mr.prepare(session, plain_home / "input", tmp_path / "lake")
    assert list(tmp_path.iterdir()) == []


def test_what_else_the_pairs_hold_changes_no_score(spark: SparkSession, home: Path) -> None:
    lake, bundle = mr.open_lake(spark, str(home / "lake")), mr.load_bundle(home / "model")
    bare = lake.ratings.where("user_id <= 3").select("user_id", "movie_id", F.col("rated_at").alias("at"))
    rated = lake.ratings.withColumnRenamed("rated_at", "at").where("user_id <= 3")
    names = (
        "n",
        "likes",
        "second",
        "kind",
        "task",
        "residual",
        "gender",
        "year",
        "is_request",
        "user count",
        "col1",
    )
    more = rated.withColumns({name: F.lit(7) for name in names})
    keys = ["user_id", "movie_id", "at"]
    expected = bundle.predict(lake, bare, reasons=0).select(*keys, "logit", "user_known").sort(*keys)
    predicted = bundle.predict(lake, more, reasons=0).sort(*keys)
    assert predicted.select(*keys, "logit", "user_known").collect() == expected.collect()
    assert predicted.columns[-12:] == ["rating", *names]
    assert predicted.select(*keys, "rating").collect() == rated.select(*keys, "rating").sort(*keys).collect()
    assert {tuple(row) for row in predicted.select(*(f"`{name}`" for name in names)).collect()} == {(7,) * 11}
    with pytest.raises(InputError, match="pairs have logit, p_like, which predict adds: rename them"):
        bundle.predict(lake, bare.withColumns({"p_like": F.lit(0.5), "logit": F.lit(0.0)}))


def renamed(lake: mr.Lake, count: int) -> mr.Lake:
    """The lake, in which so many movies, by id, have other titles."""
    title = F.when(F.col("movie_id") <= count, F.lit("Another")).otherwise(F.col("title"))
    return replace(lake, movies=lake.movies.withColumn("title", title))


def test_taste_is_not_used_where_ids_mean_other_movies(spark: SparkSession, home: Path) -> None:
    lake, bundle = mr.open_lake(spark, str(home / "lake")), mr.load_bundle(home / "model")
    tables = bundle.tables()
    assert tables is not None
    known = tables.movie_id.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        used = tables_for(bundle, renamed(lake, known[len(known) // 2 - 1]), since=None)
        assert used is not None
        assert used.blocks == tables.blocks
    other = renamed(lake, known[len(known) // 2 + 1])
    with pytest.warns(MovierateWarning, match="knows by their ids, .* have the same title there"):
        rows = rows_for(bundle, other).agg(F.max("user_neighbours"), F.min("user_factors"), F.count("*"))
    assert tuple(rows.head() or ()) == (0.0, 0.0, 800)


def test_taste_is_used_in_a_lake_that_lacks_most_movies(spark: SparkSession, home: Path) -> None:
    lake, bundle = mr.open_lake(spark, str(home / "lake")), mr.load_bundle(home / "model")
    few = replace(lake, movies=lake.movies.where("movie_id <= 3"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables, used = bundle.tables(), tables_for(bundle, few, since=None)
    assert tables is not None
    assert used is not None
    assert used.blocks == tables.blocks


def test_a_bundle_reads_the_tables_of_the_blocks_that_are_asked_for_once(
    spark: SparkSession, home: Path
) -> None:
    bundle = mr.load_bundle(home / "model")
    last = bundle.tables(second_after_last(mr.open_lake(spark, home / "lake")))
    assert last is not None
    number = len(last.begins)
    assert list(last.blocks) == [number]
    every = bundle.tables()
    assert every is not None
    assert list(every.blocks) == list(range(1, number + 1))
    assert every.blocks[number] is last.blocks[number]


def test_bad_usage_is_refused_before_anything_is_read(
    spark: SparkSession, plain_home: Path, tmp_path: Path
) -> None:
    source, lake = plain_home / "input", tmp_path / "lake"
    with pytest.raises(mr.InputError, match=r"^xml: give one of auto, ml-1m, ml-100k") as refused:
        mr.prepare(spark, source, lake, format_name="xml")
    assert refused.value.argument == "format"
    with pytest.raises(mr.InputError, match=r"^rating: not one of ratings, users, movies$") as refused:
        mr.prepare(spark, source, lake, expect_rows={"rating": 5})
    assert refused.value.argument == "expect_rows"
    bundle, prepared = mr.load_bundle(plain_home / "model"), mr.open_lake(spark, plain_home / "lake")
    with pytest.raises(mr.InputError, match="is not after the beginning") as refused:
        mr.evaluate(bundle, prepared, tmp_path / "evaluation", since=T, until=T)
    assert refused.value.argument == "until"
    assert not any(tmp_path.iterdir())


@pytest.mark.end_to_end
def test_each_job_is_a_call_that_prints_nothing(
    spark: SparkSession, plain_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = mr.load_settings([plain_home / "settings.toml"])
    truth = mr.simulate(spark, str(tmp_path / "made"), ratings=1_000, seed=2)
    assert json.loads((tmp_path / "made" / "truth.json").read_text()) == truth
    assert (truth["seed"], truth["sizes"]["ratings"], truth["re_ratings"]) == (2, 1_000, 0)
    lake = mr.prepare(spark, str(plain_home / "input"), str(tmp_path / "lake"), expect_rows={"ratings": 800})
    assert lake.ratings.count() == 800
    bundle = mr.train(lake, str(tmp_path / "model"), until=T, settings=settings)
    assert mr.load_bundle(str(tmp_path / "model")).version == bundle.version
    metrics = mr.evaluate(bundle, lake, tmp_path / "evaluation", since=T)
    assert metrics.rows == lake.ratings.where(f"rated_at >= timestamp_seconds({T})").count()
    assert mr.explore(lake, str(tmp_path / "exploration")).read_text().startswith("<!doctype html>")
    best = mr.recommend(bundle, lake, tmp_path / "best", top=2, at="2000-12-31")
    with pytest.raises(mr.InputError, match="give a number of movies from 1 on"):
        mr.recommend(bundle, lake, tmp_path / "best", top=0)
    again = mr.recommend(bundle, lake, tmp_path / "best", top=2, at="2000-12-31", force=True)
    assert again.inputFiles() != best.inputFiles()
    assert best.groupBy("user_id").count().where("count <> 2").isEmpty()
    with pytest.raises(mr.InputError, match=r"^2999-01-01 is .*, in the future") as refused:
        mr.evaluate(bundle, lake, since="2999-01-01")
    assert refused.value.argument == "since"
    assert capsys.readouterr().out == ""
