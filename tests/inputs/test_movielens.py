from __future__ import annotations

from pathlib import Path

from deliveries import write
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.inputs.cleaning import age_group
from movierate_spark.inputs.movielens import ML_1M_AGES, read_ml_1m, read_ml_100k

USER = ("user_id", "gender", "age", "occupation", "zip", "complete")


def test_movielens_1m_s_codes_get_their_names_and_an_unknown_code_none(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    lines = ["1::F::1::10::48067", "2::m:: 56 ::4::98107-2117", "3::?::17::21::9810", "4::M::::::", "5::M"]
    write(tmp_path / "users.dat", lines)
    users = read_ml_1m(spark, "users", tmp_path / "users.dat", settings.input).sort("user_id").collect()
    assert [tuple(row[name] for name in USER) for row in users] == [
        ("1", "F", "under 18", "K-12 student", "48067", True),
        ("2", "m", "56+", "college/grad student", "98107-2117", True),
        ("3", "?", None, None, "9810", True),
        ("4", "M", None, None, "", True),
        ("5", "M", None, None, None, False),
    ]
    assert [row["raw"] for row in users] == lines


def test_each_age_of_movielens_1m_is_a_group_of_the_lake(spark: SparkSession) -> None:
    ages = spark.createDataFrame([(name,) for name in ML_1M_AGES.values()], "age string")
    groups = ages.select(age_group(F.col("age"), age_max=120).alias("group")).collect()
    assert [row["group"] for row in groups] == list(ML_1M_AGES.values())


def test_movielens_100k_has_flags_for_genres_in_the_order_of_the_file_beside_it(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    write(tmp_path / "u.genre", ["Drama|1", "unknown|0", "Comedy|2", ""])
    lines = ["1|Heat (1995)|01-Jan-1995||x|0|1|1", "2|Odd|||x|1|0|0", "3|Short||||0|1"]
    write(tmp_path / "u.item", lines)
    movies = read_ml_100k(spark, "movies", tmp_path / "u.item", settings.input)
    columns = movies.select("movie_id", "title", "genres", "year", "complete").sort("movie_id")
    assert [tuple(row) for row in columns.collect()] == [
        ("1", "Heat (1995)", "Drama|Comedy", "1995", True),
        ("2", "Odd", "", "", True),
        ("3", "Short", "Drama", "", False),
    ]
