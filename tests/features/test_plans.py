"""Plans of the queries that read the whole log: shuffles, columns, and nothing row by row in Python."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from pyspark.sql import DataFrame

from movierate_spark.config import Settings
from movierate_spark.features.rows import feature_rows
from movierate_spark.storage.lake import Lake

DAY = 86_400
ROW_BY_ROW = ("BatchEvalPython", "ArrowEvalPython", "FlatMapGroupsInPandas", "FlatMapCoGroupsInPandas")
EVERY_PAIR = ("CartesianProduct", "BroadcastNestedLoopJoin")


def plan(rows: DataFrame) -> str:
    return str(rows._jdf.queryExecution().executedPlan().toString())


def requests(lake: Lake) -> DataFrame:
    assert lake.state is not None
    pairs = [(1, 20, lake.state.until), (2, 10, lake.state.until)]
    return lake.ratings.sparkSession.createDataFrame(pairs, "user_id long, movie_id long, at timestamp")


def scans(text: str, table: str) -> list[set[str]]:
    """The columns that each scan of a lake's table reads."""
    lines = re.findall(r"Scan parquet.*", text)
    of_table = [scan for scan in lines if re.search(rf"/lake/{table}/", scan)]
    return [set(re.findall(r"(\w+):", scan.partition("ReadSchema: struct<")[2])) for scan in of_table]


@pytest.mark.parametrize("is_from_state", [False, True])
def test_features_need_no_python_per_row_and_no_join_of_every_pair(
    lake: Lake, settings: Settings, is_from_state: bool
) -> None:
    source = lake if is_from_state else replace(lake, state=None)
    text = plan(feature_rows(source, settings.features, min_rating=4.0, requests=requests(lake)))
    assert [name for name in (*ROW_BY_ROW, *EVERY_PAIR) if name in text] == []
    assert text.count("MapInArrow") == 2


def test_the_log_is_shuffled_once_each_by_pair_by_movie_and_by_user(lake: Lake, settings: Settings) -> None:
    """By pair for re-ratings; the priors reuse this shuffle."""
    rows = feature_rows(replace(lake, state=None), settings.features, min_rating=4.0, requests=requests(lake))
    text = plan(rows)
    by_pair = re.findall(r"- Exchange hashpartitioning\(user_id#\d+L, movie_id#\d+L", text)
    to_tasks = re.findall(r"- Exchange .*REPARTITION_BY_NUM", text)
    assert (len(by_pair), len(to_tasks)) == (1, 2)
    assert "ReusedExchange [user_id" in text
    assert scans(text, "ratings") == [{"user_id", "movie_id", "rating", "rated_at"}]
    assert all("title" not in columns for columns in scans(text, "movies"))


def test_from_a_state_the_log_is_only_read_for_what_came_later(lake: Lake, settings: Settings) -> None:
    text = plan(feature_rows(lake, settings.features, min_rating=4.0, requests=requests(lake)))
    of_log = [scan for scan in re.findall(r"Scan parquet.*", text) if "/lake/ratings/" in scan]
    assert of_log
    assert all("GreaterThanOrEqual(rated_at," in scan for scan in of_log)
    assert scans(text, "movie_totals")
    assert scans(text, "history")
