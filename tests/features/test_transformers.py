from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from chispa import assert_df_equality
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.features.names import FEATURES, feature_names
from movierate_spark.features.pipeline import feature_pipeline, uses_month
from movierate_spark.features.task_history import COLUMNS
from movierate_spark.features.taste import TASTE_COLUMNS
from movierate_spark.features.transformers import (
    CalendarCycles,
    HistoryFeatures,
    MultiHot,
    MultiHotModel,
    RareLevels,
    RareLevelsModel,
    ReleaseFeatures,
)

MIDNIGHT = datetime(2000, 5, 1, tzinfo=UTC)  # a Monday


def test_midnight_and_six_in_the_morning_lie_a_quarter_of_a_circle_apart(spark: SparkSession) -> None:
    rows = [(MIDNIGHT,), (MIDNIGHT.replace(hour=6),), (None,)]
    stage = CalendarCycles(inputCol="at", cycles=["hour", "weekday"])
    actual = stage.transform(spark.createDataFrame(rows, "at timestamp")).drop("at").collect()
    assert tuple(actual[0]) == pytest.approx((0.0, 1.0, 0.0, 1.0))
    assert tuple(actual[1]) == pytest.approx((1.0, 0.0, 0.0, 1.0))
    assert tuple(actual[2]) == (None, None, None, None)


def test_release_features_are_zero_where_the_year_is_unknown(spark: SparkSession) -> None:
    rows = [(MIDNIGHT, 1990), (MIDNIGHT, 2001), (MIDNIGHT, None)]
    stage = ReleaseFeatures(inputCols=["at", "year"])
    actual = stage.transform(spark.createDataFrame(rows, "at timestamp, year int")).collect()
    assert [row["decade"] for row in actual] == ["1990s", "2000s", None]
    assert [row["release_year"] for row in actual] == [-1.0, 0.1, 0.0]
    assert [row["film_age"] for row in actual] == pytest.approx([math.log(11), 0.0, 0.0])


def test_a_rate_of_many_ratings_weighs_more(spark: SparkSession) -> None:
    user = {"user_count": 3.0, "user_mean": 4.0, "user_like_rate": 0.8, "user_residual": 0.25}
    movie = {"movie_count": 0.0, "movie_mean": 3.5, "movie_like_rate": 0.5}
    known = {**user, **movie, "prior_mean": 3.5, "prior_like_rate": 0.5}
    values = tuple(known.get(name, 0.0) for name in COLUMNS)
    schema = ", ".join(f"{name} double" for name in COLUMNS)
    row = HistoryFeatures().transform(spark.createDataFrame([values], schema)).first()
    assert row is not None
    log_count = math.log(4)
    assert (row["user_new"], row["movie_new"]) == (0.0, 1.0)
    assert (row["user_mean_difference"], row["user_log_odds"]) == pytest.approx((0.5, math.log(4)))
    assert row["user_log_odds_x_log_count"] == pytest.approx(math.log(4) * log_count)
    assert row["user_residual_x_log_count"] == pytest.approx(0.25 * log_count)
    assert row["user_log_count_squared"] == pytest.approx(log_count**2)
    assert (row["movie_log_count"], row["movie_mean_difference"], row["movie_log_odds"]) == (0.0, 0.0, 0.0)


def test_values_of_few_users_are_pooled_and_null_stays_null(spark: SparkSession) -> None:
    rows = [(1, "100"), (1, "100"), (2, "100"), (3, "200"), (3, "200"), (4, None)]
    seen = spark.createDataFrame(rows, "user_id long, zip3 string")
    model = RareLevels(inputCol="zip3", outputCol="pooled", unitCol="user_id", minUnits=2).fit(seen)
    later = spark.createDataFrame([("100",), ("200",), ("999",), (None,)], "zip3 string")
    expected = spark.createDataFrame(
        [("100", "100"), ("200", "other"), ("999", "other"), (None, None)], "zip3 string, pooled string"
    )
    assert_df_equality(model.transform(later), expected, ignore_row_order=True)


def test_genres_never_learnt_count_as_unknown(spark: SparkSession) -> None:
    seen = spark.createDataFrame(
        [(1, ["Drama"]), (2, ["Drama", "War"]), (3, ["War"]), (4, ["Rare"])],
        "movie_id long, genres array<string>",
    )
    model = MultiHot(inputCol="genres", outputCol="genre", unitCol="movie_id", minUnits=2).fit(seen)
    later = spark.createDataFrame(
        [(["War", "Drama"],), (["War", "Rare"],), (["Rare"],), ([],), (None,)], "genres array<string>"
    )
    actual = model.transform(later).select(vector_to_array(F.col("genre")).alias("genre"))
    assert [row["genre"] for row in actual.collect()] == [
        [1, 1, 0],
        [0, 1, 0],
        [0, 0, 1],
        [0, 0, 1],
        [0, 0, 1],
    ]


@pytest.mark.parametrize(
    "stage",
    [
        CalendarCycles(inputCol="at", cycles=["hour", "month"]),
        ReleaseFeatures(inputCols=["at", "year"]),
        RareLevelsModel(inputCol="zip3", outputCol="pooled", values=["100"]),
        RareLevelsModel(inputCol="zip3", outputCol="pooled", values=[]),
        MultiHotModel(inputCol="genres", outputCol="genre", values=["Drama"]),
        MultiHotModel(inputCol="genres", outputCol="genre", values=[]),
    ],
)
def test_a_stage_does_the_same_after_saving_and_loading(
    spark: SparkSession, tmp_path: Path, stage: Transformer
) -> None:
    rows = [(MIDNIGHT, 1990, "100", ["Drama"]), (MIDNIGHT, None, "9", []), (MIDNIGHT, 1, None, None)]
    frame = spark.createDataFrame(rows, "at timestamp, year int, zip3 string, genres array<string>")
    path = str(tmp_path / "stage")
    PipelineModel([stage]).write().save(path)
    loaded = PipelineModel.load(path)
    assert_df_equality(loaded.transform(frame), stage.transform(frame), ignore_row_order=True)
    assert loaded.transform(frame).schema == stage.transform(frame).schema


JOINED = (
    "user_id long, movie_id long, at timestamp, gender string, age_group string, occupation string,"
    " zip3 string, year int, genres array<string>, "
    + ", ".join(f"{name} double" for name in (*COLUMNS, *TASTE_COLUMNS))
)
KNOWN = {
    **{"user_count": 2.0, "user_mean": 4.0, "user_like_rate": 0.6},
    **{"movie_count": 5.0, "movie_mean": 3.5, "movie_like_rate": 0.5},
    **{"prior_mean": 3.6, "prior_like_rate": 0.57},
}
HISTORY = tuple(KNOWN.get(name, 0.1) for name in (*COLUMNS, *TASTE_COLUMNS))


def joined(spark: SparkSession) -> DataFrame:
    rows = [
        (
            u,
            m,
            MIDNIGHT,
            "MF"[u % 2],
            "25-34",
            "college/grad student",
            f"{480 + u % 2}",
            1944,
            ["Film-Noir"],
            *HISTORY,
        )
        for u in range(8)
        for m in range(8)
    ]
    return spark.createDataFrame(rows, JOINED)


def test_every_slot_has_a_readable_name(spark: SparkSession, settings: Settings) -> None:
    features = settings.features.model_copy(update={"zip3_min_users": 4})
    rows = joined(spark)
    model = feature_pipeline(features, with_month=False).fit(rows)
    names = feature_names(model.transform(rows).schema)
    assert names == [
        "gender=F", "gender=M", "gender=unknown", "age=25-34", "age=unknown",
        "occupation=college/grad student", "occupation=unknown", "zip3=480", "zip3=481", "zip3=unknown",
        "decade=1940s", "decade=unknown", "genre=Film-Noir", "genre=unknown",
        "hour of day (sine)", "hour of day (cosine)", "weekday (sine)", "weekday (cosine)",
        "release year (decades since 2000)", "release year, squared", "film age when rated (log of years)",
        "user: new", "user: earlier ratings (log)", "user: earlier ratings (log), squared",
        "user: mean rating above all", "user: log odds of liking above all",
        "movie: new", "movie: earlier ratings (log)", "movie: earlier ratings (log), squared",
        "movie: mean rating above all", "movie: log odds of being liked above all",
        "user: ratings above the movies' means", "user: last 5 ratings above the movies' means",
        "user: last 20 ratings above the movies' means", "user: last 50 ratings above the movies' means",
        "user: taste for the movie's genres", "user: taste for the movie's decade",
        "movie: rated above its mean by the user's gender",
        "movie: rated above its mean by the user's age group",
        "movie: rated above its mean by the user's occupation",
        "user: log odds of liking above all x log of ratings",
        "user: ratings above the movies' means x log of ratings",
        "movie: mean rating above all x log of ratings",
        "user: ratings of the movie's neighbours", "user: taste factors",
        "user: expected rating in units of spread",
    ]  # fmt: skip


def test_rows_of_unseen_and_unknown_values_keep_their_place(spark: SparkSession, settings: Settings) -> None:
    model = feature_pipeline(settings.features, with_month=True).fit(joined(spark))
    strange = [(1, 1, MIDNIGHT, "X", "young", "pilot", "999", 1890, ["Opera"], *HISTORY)]
    strange += [(2, 2, MIDNIGHT, None, None, None, None, None, None, *HISTORY)]
    vectors = model.transform(spark.createDataFrame(strange, JOINED)).select(vector_to_array(F.col(FEATURES)))
    first, second = (row[0] for row in vectors.collect())
    names = feature_names(model.transform(joined(spark)).schema)
    set_slots = {name for name, value in zip(names, first, strict=True) if value == 1.0 and "=" in name}
    assert {
        "gender=unknown",
        "age=unknown",
        "occupation=unknown",
        "decade=unknown",
        "genre=unknown",
    } <= set_slots
    assert len(first) == len(second) == len(names)


def test_demographics_that_are_all_unknown_still_make_features(
    spark: SparkSession, settings: Settings
) -> None:
    nobody = joined(spark)
    for name in ("gender", "age_group", "occupation", "zip3"):
        nobody = nobody.withColumn(name, F.lit(None).cast("string"))
    model = feature_pipeline(settings.features, with_month=False).fit(nobody)
    assert model.transform(nobody).count() == 64
    assert "gender=unknown" in feature_names(model.transform(nobody).schema)


def test_the_month_is_a_feature_only_with_two_years_of_data() -> None:
    start = datetime(2000, 4, 25, tzinfo=UTC)
    assert not uses_month("auto", start, datetime(2002, 4, 24, tzinfo=UTC))
    assert uses_month("auto", start, datetime(2002, 4, 25, tzinfo=UTC))
    assert uses_month("always", start, start)
    assert not uses_month("never", start, datetime(2020, 1, 1, tzinfo=UTC))
