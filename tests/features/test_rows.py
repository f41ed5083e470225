"""Which rows a model is fitted on when there are too many of them."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from taste_timeline import rows
from timelines import movies, options, rows_by_user, timeline

from movierate_spark.features.history import with_priors
from movierate_spark.features.rows import complete_rows, of_sampled_users


def test_a_sample_has_all_rows_of_some_users_at_any_partitioning(spark: SparkSession) -> None:
    frame = spark.range(3_000).withColumn("user_id", F.col("id") % 1_000)
    counts = of_sampled_users(frame, 0.2).groupBy("user_id").count().collect()
    assert 150 < len(counts) < 250
    assert {row["count"] for row in counts} == {3}
    again = of_sampled_users(frame.repartition(7, "id"), 0.2).select("user_id").distinct().collect()
    assert {row["user_id"] for row in again} == {row["user_id"] for row in counts}
    more = of_sampled_users(frame, 0.3).select("user_id").distinct().collect()
    assert {row["user_id"] for row in counts} < {row["user_id"] for row in more}
    assert of_sampled_users(frame, 1.0).count() == 3_000


def test_the_rows_of_sampled_users_are_those_that_they_have_among_everybodys(spark: SparkSession) -> None:
    settings = options(task_max_rows=64)  # the heavy user lies in several segments

    def filled(by_user: DataFrame) -> list[str]:
        table = complete_rows(by_user, movies(spark), settings, min_rating=4.0)
        table = table.orderBy("user_id", "movie_id", "at")
        return [repr(row) for row in table.collect()]

    frame = with_priors(timeline(spark, rows()), min_rating=4.0).localCheckpoint()
    by_user = rows_by_user(frame, settings).persist()
    assert by_user.select("segment").distinct().count() > 1
    sampled = filled(of_sampled_users(by_user, 0.5))
    users = {row["user_id"] for row in of_sampled_users(by_user, 0.5).select("user_id").collect()}
    assert 1 in users
    assert sampled == [row for row in filled(by_user) if int(row.split("user_id=")[1].split(",")[0]) in users]
    assert len(sampled) < len(filled(by_user))
    by_user.unpersist()
