from __future__ import annotations

from datetime import UTC, datetime

from chispa import assert_column_equality, assert_df_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import CleanSettings
from movierate_spark.inputs import cleaning as clean

SETTINGS = CleanSettings(genders=("F", "M"), age_max=120)
USER = "user_id string, gender string, age string, occupation string, zip string, raw string"


def test_of_a_user_movie_and_second_the_highest_rating_stays_and_re_ratings_do_too(
    spark: SparkSession,
) -> None:
    rows = [
        ("1", "10", "5", "100"),
        ("1", "10", "2", "200"),
        ("2", "10", "1", "300"),
        ("2", "10", "4", "300"),
    ]
    valid = spark.createDataFrame(rows, "user_id string, movie_id string, rating string, rated_at string")
    first, again, third = (datetime.fromtimestamp(second, UTC) for second in (100, 200, 300))
    expected = spark.createDataFrame(
        [(1, 10, 5.0, first), (1, 10, 2.0, again), (2, 10, 4.0, third)],
        "user_id long, movie_id long, rating double, rated_at timestamp",
    )
    assert_df_equality(clean.clean_ratings(valid), expected, ignore_row_order=True, ignore_nullable=True)


def test_unreadable_demographics_are_unknown(spark: SparkSession) -> None:
    rows = [
        ("1", "F", "under 18", "K-12 student", "48067", "a"),
        ("2", "m", "60", " writer ", "98107-2117", "a"),
        ("3", "?", "young", " ", "9810", "a"),
        ("4", "", "", None, "193122042", "a"),
    ]
    users = clean.clean_users(spark.createDataFrame(rows, USER), settings=SETTINGS)
    assert [tuple(row) for row in users.sort("user_id").collect()] == [
        (1, "F", "under 18", "K-12 student", "480"),
        (2, "M", "56+", "writer", "981"),
        (3, None, None, None, None),
        (4, None, None, None, None),
    ]


def test_ages_in_years_fall_into_groups_and_names_of_groups_are_taken(spark: SparkSession) -> None:
    rows = [("17", "under 18"), ("18", "18-24"), ("24", "18-24"), ("25", "25-34"), ("34", "25-34")]
    rows += [("35", "35-44"), ("45", "45-49"), ("49", "45-49"), ("50", "50-55"), ("55", "50-55")]
    rows += [("56", "56+"), ("120", "56+"), ("121", None), ("0", None), ("Under 18", "under 18")]
    rows += [(" 56+ ", "56+"), ("young", None), ("", None), (None, None)]
    frame = spark.createDataFrame(rows, "age string, expected string")
    actual = frame.withColumn("actual", clean.age_group(F.col("age"), age_max=120))
    assert_column_equality(actual, "actual", "expected")


def test_of_a_repeated_user_the_greatest_raw_line_stays(spark: SparkSession) -> None:
    rows = [("1", "F", "25", "writer", "48067", "1|25|F"), ("1", "M", "30", "artist", "48067", "1|30|M")]
    users = clean.clean_users(spark.createDataFrame(rows, USER), settings=SETTINGS)
    assert [tuple(row) for row in users.collect()] == [(1, "M", "25-34", "artist", "480")]


def test_the_release_year_is_the_last_one_in_parentheses(spark: SparkSession) -> None:
    rows = [("Toy Story (1995)", 1995), ("2001: A Space Odyssey (1968)", 1968), ("(1999) Again (2003)", 2003)]
    rows += [("Land Before Time III (1995) (V)", 1995), ("Serial (2006\u20132007)", 2006), ("Heat", None)]
    rows += [("Odd (0000)", None), ("Short (95)", None), (None, None)]
    frame = spark.createDataFrame(rows, "title string, expected int")
    actual = frame.withColumn("actual", clean.release_year(F.col("title")))
    assert_column_equality(actual, "actual", "expected")


def test_unknown_genres_are_an_empty_array_and_each_genre_counts_once(spark: SparkSession) -> None:
    rows = [("Drama|Comedy|Drama", ["Drama", "Comedy"]), (" Drama | ", ["Drama"]), ("", []), (None, [])]
    rows += [("(no genres listed)", [])]
    frame = spark.createDataFrame(rows, "text string, expected array<string>")
    actual = frame.withColumn("actual", clean.genre_list(F.col("text")))
    assert_column_equality(actual, "actual", "expected")
