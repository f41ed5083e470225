from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StructField, StructType

from movierate_spark import schemas
from movierate_spark.errors import InputError
from movierate_spark.storage.attempts import attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.opened_table import check_purpose, open_table

FIRST = date(2000, 1, 1)


@pytest.mark.parametrize(("schema", "old"), [(schemas.SCORES, "liked"), (schemas.PREDICTIONS, "predicted")])
def test_a_table_of_an_older_version_is_refused_with_what_to_do(
    spark: SparkSession, tmp_path: Path, schema: StructType, old: str
) -> None:
    fields = [StructField(old if f.name == "predicted_liked" else f.name, f.dataType) for f in schema.fields]
    day = FIRST if "run_date" in schema.names else None
    older = StructType(fields)
    with attempt_to_write(spark.createDataFrame([], older), tmp_path / "t", older, run_date=day) as attempt:
        commit(attempt)
    with pytest.raises(InputError, match=f"in which predicted_liked is called {old}: name a new"):
        check_purpose(open_table(tmp_path / "t"), schema)
