from __future__ import annotations

from pathlib import Path

import pytest
from chispa import assert_column_equality
from deliveries import write
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.inputs.csv_lines import csv_fields, read_header
from movierate_spark.inputs.delivery import find_delivery


def test_csv_fields_hold_separators_and_quotes_inside_quotes(spark: SparkSession) -> None:
    rows = [("1,Heat,Drama", ["1", "Heat", "Drama"]), ('1,"Heat, The",x', ["1", "Heat, The", "x"])]
    rows += [('1,"A ""B"", C",x', ["1", 'A "B", C', "x"]), ('"1", "a,b" ,', ["1", "a,b", ""]), ("", [""])]
    rows += [('1,"never closed,x', ["1", '"never closed,x']), (",,", ["", "", ""])]
    frame = spark.createDataFrame(rows, "line string, expected array<string>")
    actual = frame.withColumn("actual", csv_fields(F.col("line"), ","))
    assert_column_equality(actual, "actual", "expected")


def test_names_in_a_header_hold_separators_inside_quotes(tmp_path: Path) -> None:
    write(tmp_path / "movies.csv", ['movieId, "title; original" ;"genres";', "3;Heat;Drama;"])
    assert read_header(tmp_path / "movies.csv", ";") == ['movieId, "title; original', "genres", ""]
    assert read_header(tmp_path / "movies.csv", ",") == ["movieId", 'title; original" ;"genres";']


def test_other_column_names_separators_and_scales_come_from_the_settings(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    write(tmp_path / "ratings.csv", ["stars;when;customer;film", "9;978300760;7;3"])
    write(tmp_path / "movies.csv", ["movieId;title;genres", '3;"A; B (1999)";Drama'])
    names = {"user_id": "customer", "movie_id": "film", "rating": "stars", "rated_at": "when"}
    columns = settings.input.columns.model_copy(update={"ratings": names})
    changed = {"separator": ";", "columns": columns, "rating_max": 10.0}
    delivery = find_delivery(tmp_path, format_name="auto", settings=settings.input.model_copy(update=changed))
    rating = delivery.read(spark, "ratings").select("user_id", "movie_id", "rating", "rated_at").first()
    assert tuple(rating or ()) == ("7", "3", "9", "978300760")
    assert delivery.rating_scale == (0.5, 10.0)
    movie = delivery.read(spark, "movies").first()
    assert movie is not None
    assert movie["title"] == "A; B (1999)"


def test_a_column_that_a_header_names_twice_is_named(
    spark: SparkSession, tmp_path: Path, settings: Settings
) -> None:
    write(tmp_path / "ratings.csv", ['userId,movieId,rating,timestamp,"rating"', "1,2,5,978300760,1"])
    # Columns without a name are not ambiguous.
    write(tmp_path / "movies.csv", ["movieId,title,genres,,", "2,Heat (1995),Drama,,"])
    delivery = find_delivery(tmp_path, format_name="auto", settings=settings.input)
    with pytest.raises(InputError, match=r"ratings.csv: its header names rating more than once: leave one"):
        delivery.read(spark, "ratings")
    assert delivery.read(spark, "movies").count() == 1
