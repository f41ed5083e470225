"""Timelines of a few ratings and requests, with attributes that follow from the ids."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import FeatureSettings, load_settings
from movierate_spark.features.events import events
from movierate_spark.features.history import layouts, spread_by_user, with_movie_history
from movierate_spark.features.task_columns import GENRE_LIST

DAY = 86_400
GENRES = {0: [], 1: ["Drama"], 2: ["Comedy"], 3: ["Comedy", "Drama"], 4: ["Drama", "War", "Comedy"]}
Row = tuple[int, int, int, float | None]


def options(**changes: float) -> FeatureSettings:
    simple = {"shrinkage_user": 1.0, "shrinkage_movie": 2.0, "shrinkage_taste": 1.0, "shrinkage_group": 1.0}
    return load_settings().features.model_copy(update={**simple, **changes})


def timeline(spark: SparkSession, rows: list[Row]) -> DataFrame:
    """Events and requests, with attributes that follow from the ids (those of 0 are unknown)."""
    frame = spark.createDataFrame(rows, "user_id long, movie_id long, second long, rating double")
    dated = frame.withColumn("rated_at", F.timestamp_seconds("second")).drop("second")
    ratings, requests = dated.where("rating is not null"), dated.where("rating is null")
    queries = requests.withColumnRenamed("rated_at", "at")
    both = events(ratings, has_re_ratings=True).unionByName(queries, allowMissingColumns=True)
    user, movie = F.col("user_id"), F.col("movie_id")
    genres = F.array(*(F.array(*map(F.lit, GENRES[i])).cast("array<string>") for i in range(len(GENRES))))
    return both.withColumns(
        {
            "gender": F.when(user > 0, F.get(F.array(F.lit("F"), F.lit("M")), user % 2)),
            "age_group": F.when(user > 0, F.concat(F.lit("age "), user % 3)),
            "occupation": F.when(user > 0, F.concat(F.lit("job "), user % 2)),
            "year": F.when(movie > 0, (movie * 7 + 1950).cast("int")),
            "genres": F.get(genres, movie % 5),
        }
    )


def rows_by_user(frame: DataFrame, settings: FeatureSettings) -> DataFrame:
    """The rows of the pass by user, from those of :func:`timeline` with priors."""
    tasks = layouts(frame, settings)
    # The plan of a heavy user's segments has several copies of the pass by movie: here it is made once.
    with_movie = with_movie_history(frame, tasks, settings, min_rating=4.0).localCheckpoint()
    listed = with_movie.withColumn(GENRE_LIST, F.to_json("genres")).drop("genres")
    return spread_by_user(listed, tasks, settings, min_rating=4.0)


def movies(spark: SparkSession) -> DataFrame:
    """The movies of :func:`timeline` with their genres."""
    return spark.createDataFrame(
        [(i, GENRES[i % 5]) for i in range(100)], "movie_id long, genres array<string>"
    )
