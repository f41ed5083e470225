from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import SparkSession

from movierate_spark.recommendation.candidates import Probes, may_be_recommended, movie_side

PROBES = Probes(genres=("Drama", "War"), decades=(1990,), values=(("gender", "F"),))


def test_probes_stand_for_one_thing_each_and_for_nothing_first() -> None:
    assert PROBES.movies == [
        (-1, None, None, []),
        (-2, None, None, ["Drama"]),
        (-3, None, None, ["War"]),
        (-4, None, 1990, []),
    ]
    assert PROBES.users == [(-1, None, None, None), (-2, "F", None, None)]


def test_what_a_movie_adds_is_what_its_pairs_have_beyond_their_two_sides() -> None:
    nobody = np.array([0.5, 0.75])  # probe users -1 and -2 with probe movie -1
    logits = np.array([[1.5, 0.5], [2.25, 0.75]])
    side = movie_side(PROBES, np.array([7, 8]), [["Drama", "War"], []], [1994, None], logits, nobody)
    assert side.own.tolist() == [1.0, 0.0]
    assert side.by_taste.tolist() == [[0.5, 0.5, 1.0], [0.0, 0.0, 0.0]]
    assert side.by_group.tolist() == [[0.5, 0.0], [0.0, 0.0]]


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
