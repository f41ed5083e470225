"""Whether two places hold the same: what a job has left there, and in local mode here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from movierate_spark import schemas
from movierate_spark.model.scoring import KEYS
from movierate_spark.storage.tables import read_table


def local(home: Path, *command: object) -> str:
    movierate = Path(sys.executable).with_name("movierate")
    done = subprocess.run(
        [str(part) for part in (movierate, *command)], cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(spark: SparkSession, table: Path, schema: StructType) -> list[tuple[object, ...]]:
    records = read_table(spark, table, schema).collect()
    return sorted((tuple(row) for row in records), key=repr)


def files(folder: Path) -> dict[str, bytes]:
    return {
        file.name: file.read_bytes() for file in sorted(folder.iterdir()) if not file.name.startswith("_")
    }


def numbers(document: object) -> object:
    """A document whose floats are compared to within 1e-9."""
    if isinstance(document, dict):
        return {key: numbers(value) for key, value in document.items()}
    if isinstance(document, list):
        return [numbers(value) for value in document]
    return pytest.approx(document, abs=1e-9, nan_ok=True) if isinstance(document, float) else document


def document(path: Path) -> dict[str, object]:
    """What a file says, but for the model's version, which no two trainings share."""
    read: dict[str, object] = json.loads(path.read_text())
    return {name: value for name, value in read.items() if name != "model_version"}


def same_model(one: Path, other: Path) -> None:
    first, second = document(one / "bundle.json"), document(other / "bundle.json")
    assert first["feature_names"] == second["feature_names"]
    for name in ("coefficients", "calibration", "decision_threshold", "metrics", "baselines"):
        assert first[name] == numbers(second[name]), name


def listed(value: object) -> object:
    """Rows and tuples as lists, inner ones included."""
    return [listed(each) for each in value] if isinstance(value, list | tuple) else value


def same_but_fitted(
    spark: SparkSession, one: Path, other: Path, schema: StructType, *, name: str
) -> list[tuple[object, ...]]:
    """Compare rows of two models trained alike: floats within 1e-9, their versions not, all else exactly.

    Returns the first one's rows.
    """
    version = schema.names.index("model_version")
    keys = [place for place, column in enumerate(schema.names) if column in ("run_date", *KEYS)]
    tables = [
        sorted(rows(spark, home / name, schema), key=lambda row: [row[place] for place in keys])  # type: ignore[arg-type,return-value]
        for home in (one, other)
    ]
    assert len(tables[0]) == len(tables[1])
    for row, twin in zip(*tables, strict=True):
        values, expected = (listed(each[:version] + each[version + 1 :]) for each in (row, twin))
        assert values == numbers(expected)
    return tables[0]


def same_scores(spark: SparkSession, one: Path, other: Path) -> None:
    assert rows(spark, one / "scores", schemas.SCORES) == rows(spark, other / "scores", schemas.SCORES)
    rejected = [
        rows(spark, home / "scores" / "_rejected", schemas.REJECTED_REQUESTS) for home in (one, other)
    ]
    assert rejected[0] == rejected[1]
    assert len(rejected[0]) == 1


def same_recommendations(spark: SparkSession, one: Path, other: Path) -> None:
    there, expected = (rows(spark, home / "best", schemas.RECOMMENDATIONS) for home in (one, other))
    assert [row[:4] for row in there] == [row[:4] for row in expected]
    # They are rounded to nine decimals: a difference of 1e-14 may become one of 1e-9.
    assert [row[4:6] for row in there] == [pytest.approx(row[4:6], abs=1.1e-9) for row in expected]
