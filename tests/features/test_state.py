"""Features from a lake's state; tests/cli/test_add.py has random deliveries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame

from movierate_spark.config import FeatureSettings, Settings
from movierate_spark.features.rows import feature_rows
from movierate_spark.storage.lake import Lake


@pytest.mark.parametrize("task_max_rows", [1000, pytest.param(8, marks=pytest.mark.end_to_end)])
def test_a_history_that_is_kept_gives_the_features_of_the_log_also_if_it_is_split(
    lake: Lake, settings: Settings, task_max_rows: int
) -> None:
    assert lake.state is not None
    pairs = [(user, movie, lake.state.until) for user in (1, 2, 4) for movie in (1, 12)]
    requests = lake.ratings.sparkSession.createDataFrame(pairs, "user_id long, movie_id long, at timestamp")

    def features(lake: Lake, settings: FeatureSettings) -> DataFrame:
        return feature_rows(lake, settings, min_rating=4.0, requests=requests)

    whole = features(replace(lake, state=None), settings.features)
    split = features(lake, settings.features.model_copy(update={"task_max_rows": task_max_rows}))
    assert_df_equality(split, whole, ignore_row_order=True, ignore_column_order=True, ignore_nullable=True)
    assert whole.where("user_count = 12 and movie_count = 6").count() == 6
