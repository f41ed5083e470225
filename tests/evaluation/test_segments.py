from __future__ import annotations

from pyspark.sql import SparkSession

from movierate_spark.evaluation.segments import evaluate


def test_segments_baselines_and_newcomers_are_measured_on_the_same_rows(spark: SparkSession) -> None:
    schema = (
        "user_id long, label double, p_like double, always_like double, gender string, age_group string,"
        " occupation string,"
        " genres array<string>, user_known boolean, movie_known boolean"
    )
    rows = [
        (1, 1.0, 0.9, 0.6, "F", "18-24", "writer", ["War", "Drama"], True, True),
        (1, 0.0, 0.2, 0.6, "F", "18-24", None, ["War"], True, True),
        (2, 1.0, 0.8, 0.6, None, "18-24", "writer", [], False, True),
        (3, 0.0, 0.4, 0.6, "M", "18-24", "writer", None, False, True),
    ]
    metrics = evaluate(
        spark.createDataFrame(rows, schema), decision_threshold=0.5, baseline_thresholds={"always_like": 0.0}
    )
    assert (metrics.rows, metrics.auc, metrics.accuracy) == (4, 1.0, 1.0)
    assert {name: group.rows for name, group in metrics.segments["gender"].items()} == {
        "F": 2,
        "M": 1,
        "unknown": 1,
    }
    assert {name: group.rows for name, group in metrics.segments["genre"].items()} == {
        "Drama": 1,
        "War": 2,
        "unknown": 2,
    }
    assert metrics.baselines["always_like"].auc == 0.5
    assert metrics.baselines["always_like"].recall == 1.0
    assert {name: group.rows for name, group in metrics.cold_start.items()} == {
        "known user/known movie": 2,
        "new user/known movie": 2,
    }
