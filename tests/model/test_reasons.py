"""What a score is made of, and which of the user's ratings are named."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import added_up
from movierate_spark.model.reasons import with_reasons

NUMBERS = ["user_neighbours", "user_factors", "film_age"]
COEFFICIENTS: Any = SimpleNamespace(coefficients=Vectors.dense([2.0, 1.0, -0.25]))
SIMILAR, FACTORS = "user: ratings of similar movies", "user: taste for movies like this"


@pytest.fixture(scope="module")
def movies(spark: SparkSession) -> DataFrame:
    titles = [(1, "Heat (1995)"), (2, "Alien (1979)"), (3, None)]
    return spark.createDataFrame(titles, "movie_id long, title string")


def predicted(spark: SparkSession, *similar: tuple[int, float, float]) -> DataFrame:
    """A row whose logit is 0.5 + 2 * 0.6 + 0.1 - 0.25 * 2, with id, stars and share of some ratings."""
    schema = (
        "user_neighbours double, user_factors double, film_age double, logit double,"
        " similar_ratings array<struct<movie_id: long, rating: double, share: double>>"
    )
    rows = spark.createDataFrame([(0.6, 0.1, 2.0, 1.3, list(similar))], schema)
    return VectorAssembler(inputCols=NUMBERS, outputCol="features").transform(rows)


def reasons(rows: DataFrame, movies: DataFrame, *, count: int) -> dict[str, float]:
    row = with_reasons(rows, movies, COEFFICIENTS, count=count).first()
    assert row is not None
    return {feature: pytest.approx(contribution) for feature, contribution in row["reasons"]}


def test_ratings_of_similar_movies_are_named_and_taken_off_the_attribute(
    spark: SparkSession, movies: DataFrame
) -> None:
    rows = predicted(spark, (1, 5.0, 0.4), (3, 1.0, -0.15), (77, 3.5, 0.125))
    assert reasons(rows, movies, count=9) == {
        "because you rated Heat (1995) 5 stars": 0.8,
        "film age when rated": -0.5,
        SIMILAR: 2 * (0.6 - 0.4 + 0.15 - 0.125),
        "because you rated movie 3 1 star": -0.3,
        "because you rated movie 77 3.5 stars": 0.25,
        FACTORS: 0.1,
        "other": 0.5,
    }


def test_the_largest_come_first_and_the_rest_is_other(spark: SparkSession, movies: DataFrame) -> None:
    contributions = reasons(predicted(spark, (2, 4.0, 0.1), (1, 5.0, 0.4)), movies, count=2)
    assert list(contributions) == ["because you rated Heat (1995) 5 stars", "film age when rated", "other"]
    assert contributions["other"] == 1.3 - 0.8 + 0.5


def test_a_row_without_such_ratings_has_the_attributes_only(spark: SparkSession, movies: DataFrame) -> None:
    assert reasons(predicted(spark), movies, count=1) == {SIMILAR: 1.2, "other": 0.1}


def test_rows_of_a_model_without_taste_columns_need_no_titles(spark: SparkSession, movies: DataFrame) -> None:
    rows = predicted(spark).drop("similar_ratings")
    assert reasons(rows, movies, count=1) == {SIMILAR: 1.2, "other": 0.1}


def test_rows_are_not_sent_to_one_task_for_their_titles(spark: SparkSession, movies: DataFrame) -> None:
    threshold = "spark.sql.autoBroadcastJoinThreshold"
    before = spark.conf.get(threshold)
    spark.conf.set(threshold, "-1")
    try:
        with redirect_stdout(StringIO()) as plan:
            with_reasons(predicted(spark), movies, COEFFICIENTS, count=1).explain()
    finally:
        spark.conf.set(threshold, str(before))
    assert plan.getvalue().count("BroadcastHashJoin") == 3
    assert "SortMergeJoin" not in plan.getvalue()


def test_no_function_keeps_spark_from_compiling_the_query(spark: SparkSession, movies: DataFrame) -> None:
    rows = predicted(spark, (1, 5.0, 0.4))
    with redirect_stdout(StringIO()) as plan:
        with_reasons(rows, movies, COEFFICIENTS, count=3).explain()
    assert "sort_array(" in plan.getvalue()
    assert "lambdafunction" not in plan.getvalue()


def test_a_model_without_coefficients_has_no_reason_but_the_rest(
    spark: SparkSession, movies: DataFrame
) -> None:
    empty: Any = SimpleNamespace(coefficients=Vectors.dense([0.0, 0.0, 0.0]))
    row = with_reasons(predicted(spark, (1, 5.0, 0.4)), movies, empty, count=5).first()
    assert row is not None
    assert [tuple(each) for each in row["reasons"]] == [("other", 1.3)]


def test_an_attribute_may_have_thousands_of_values(spark: SparkSession) -> None:
    terms = [F.get(F.array(F.col("id")), F.lit(0)) * F.lit(float(i)) for i in range(1_000)]
    row = spark.range(2, 3).select(added_up(terms).alias("sum"), added_up([]).alias("nothing")).first()
    assert row is not None
    assert tuple(row) == (999 * 1_000, 0.0)
