from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.recommendation.probes import Probes
from movierate_spark.recommendation.sides import movie_parts, user_side


def test_what_a_movie_adds_is_what_its_pairs_have_beyond_their_two_sides() -> None:
    probes = Probes(genres=("Drama", "War"), decades=(1990,), values=(("gender", "F"),))
    nobody = np.array([0.5, 0.75])  # probe users -1 and -2 with probe movie -1
    logits = np.array([[1.5, 0.5], [2.25, 0.75]])
    side = movie_parts(probes, np.array([7, 8]), [["Drama", "War"], []], [1994, None], logits, nobody)
    assert side.own.tolist() == [1.0, 0.0]
    assert side.by_taste.tolist() == [[0.5, 0.5, 1.0], [0.0, 0.0, 0.0]]
    assert side.by_group.tolist() == [[0.5, 0.0], [0.0, 0.0]]


def test_a_value_is_found_among_thousands(spark: SparkSession) -> None:
    values = [("gender", "F"), ("gender", "M"), *(("occupation", f"trade {i}") for i in range(5_000))]
    people = [(1, "F", "trade 0", [0, 5_002, 2]), (2, "M", "trade 4999", [1, 5_002, 5_001])]
    people += [(3, None, "trade", [5_002, 5_002, 5_002])]
    users = spark.createDataFrame(
        people, "user_id long, gender string, occupation string, expected array<int>"
    )
    expected = users.select("user_id", "expected")
    lake = SimpleNamespace(
        users=users.drop("expected").selectExpr("*", "cast(null as string) as age_group"),
        latest_ratings=spark.createDataFrame([(1, 10)], "user_id long, movie_id long"),
    )
    logits = spark.createDataFrame(
        [(1, -1, 0.5), (2, -1, 0.5), (3, -1, 0.5)], "user_id long, movie_id long, logit double"
    )
    side = user_side(cast("Any", lake), logits, Probes((), (), values))
    places = F.array(*(f"{group}_value" for group in DEMOGRAPHICS)).alias("actual")
    rows = side.select("user_id", places).join(expected, "user_id").sort("user_id").collect()
    assert [row["actual"] for row in rows] == [row["expected"] for row in rows]
