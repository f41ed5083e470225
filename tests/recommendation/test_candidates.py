from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from movierate_spark.recommendation.candidates import may_be_recommended


@pytest.mark.parametrize(
    ("genres", "year_min", "year_max", "expected"),
    [
        ((), None, None, [1, 2, 3]),
        (("War", "Drama"), None, None, [1, 2]),
        ((), 1990, 1999, [2]),
        (("Drama",), 1990, None, []),
    ],
)
def test_a_movie_is_of_one_of_the_genres_and_of_a_known_year_where_years_are_named(
    spark: SparkSession,
    genres: tuple[str, ...],
    year_min: int | None,
    year_max: int | None,
    expected: list[int],
) -> None:
    rows = [(1, 1980, ["Drama"]), (2, 1990, ["War", "Crime"]), (3, None, [])]
    movies = spark.createDataFrame(rows, "movie_id long, year int, genres array<string>")
    selected = may_be_recommended(movies, genres=genres, year_min=year_min, year_max=year_max)
    assert [row["movie_id"] for row in selected.sort("movie_id").collect()] == expected
