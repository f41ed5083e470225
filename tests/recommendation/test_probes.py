from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from movierate_spark.errors import InputError
from movierate_spark.recommendation import probes as probing
from movierate_spark.recommendation.probes import Probes, probes_of


def test_probes_stand_for_one_thing_each_and_for_nothing_first() -> None:
    probes = Probes(genres=("Drama", "War"), decades=(1990,), values=(("gender", "F"),))
    assert probes.movies == [
        (-1, None, None, []),
        (-2, None, None, ["Drama"]),
        (-3, None, None, ["War"]),
        (-4, None, 1990, []),
    ]
    assert probes.users == [(-1, None, None, None), (-2, "F", None, None)]


def test_more_values_than_fit_into_memory_are_refused_by_name(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = "user_id long, gender string, age_group string, occupation string"
    users = spark.createDataFrame([(1, "F", None, "chef"), (2, "F", None, "cook")], columns)
    lake = cast("Any", SimpleNamespace(users=users, path="lake"))
    movies = pd.DataFrame({"movie_id": [1, 2], "year": [1990, None], "genres": [["War"], []]})
    assert len(probes_of(lake, movies).values) == 3
    monkeypatch.setattr(probing, "MOST_PAIRS", 5)
    with pytest.raises(InputError, match="lake: 2 values of occupation are too many for 2 movies"):
        probes_of(lake, movies)
