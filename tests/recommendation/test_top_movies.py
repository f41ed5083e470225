from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from movierate_spark.recommendation.sides import USER_SIDE, MovieSide
from movierate_spark.recommendation.top_movies import top_movies


def test_equal_movies_are_in_order_of_their_ids_and_seen_ones_left_out(spark: SparkSession) -> None:
    side = MovieSide(
        np.array([10, 20, 30, 40]),
        np.array([0.5, 1.0, 1.0, 1.0]),
        np.array([[0.0], [0.0], [0.0], [1.0]]),
        np.array([[0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
    )
    users = pa.table(
        {
            "user_id": [1, 2, 3],
            "gender_value": pa.array([0, 1, 2], pa.int32()),
            "age_group_value": pa.array([2, 2, 2], pa.int32()),
            "occupation_value": pa.array([2, 2, 2], pa.int32()),
            "logits": [[0.0, 0.0], [0.0, 0.0], [1.0, 1.5]],
            "seen": [[20, 99], [], [10, 20, 30]],
        }
    )
    frame = spark.createDataFrame(users).to(USER_SIDE)
    rows = top_movies(frame, side, np.array([0.0, 0.0]), count=2).collect()
    assert [tuple(row) for row in rows] == [
        (1, 1, 30, 1.0),
        (1, 2, 40, 1.0),
        (2, 1, 10, 9.5),
        (2, 2, 20, 1.0),
        (3, 1, 40, 2.5),
    ]
