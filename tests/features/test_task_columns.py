from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from movierate_spark.features.earlier import Floats
from movierate_spark.features.task_columns import add_columns


def one_and_two(rows: pa.Table) -> dict[str, Floats]:
    return {"one": np.ones(rows.num_rows), "two": 2 * np.ones(rows.num_rows)}


def test_a_column_that_is_computed_but_not_named_is_an_error(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, 0)], "user_id long, kind int")
    both = add_columns(rows, one_and_two, ["one", "two"]).collect()
    assert [tuple(row) for row in both] == [(1, 0, 1.0, 2.0)]
    with pytest.raises(PythonException, match="two: computed, but not among the columns to add"):
        add_columns(rows, one_and_two, ["one"]).collect()
