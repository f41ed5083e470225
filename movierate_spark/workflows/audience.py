"""audience: who would like a movie, one of the lake's or a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.features.rows import before, second_after_last
from movierate_spark.model import bundle as bundles
from movierate_spark.progress import Reporter
from movierate_spark.recommendation.audience import segments
from movierate_spark.storage import lake
from movierate_spark.storage.lake import Lake

NEW_MOVIE = -1


@dataclass(frozen=True)
class Film:
    """A movie of the lake by its id, or a new one by genres and year."""

    movie_id: int | None = None
    genres: Sequence[str] = ()
    year: int | None = None


def audience_of(
    spark: SparkSession,
    settings: Settings,
    report: Reporter,
    *,
    source: Path,
    model: Path,
    film: Film,
    at: datetime | None,
) -> pd.DataFrame:
    """The segments of all users by how likely they are to like the movie as of ``at``.

    ``at`` is the second after the last rating where it is None;
    :func:`movierate_spark.recommendation.audience.segments` says what the columns are.

    Raises:
        InputError: the lake or the bundle can't be read, the lake has no such movie, or none of its movies is
            of one of the genres.
    """
    opened = lake.open_lake(spark, source)
    found = bundles.open_bundle(model)
    second = second_after_last(opened) if at is None else at
    opened = before(_with_film(opened, film), second)
    movie_id = NEW_MOVIE if film.movie_id is None else film.movie_id
    asked = _everybody(opened).select("user_id", F.lit(movie_id).cast("long").alias("movie_id"))
    predicted = found.predict(opened, asked.withColumn("at", F.lit(second)), reasons=0)
    with report.step("score every user"):
        people = predicted.select("user_id", "p_like").join(opened.users, "user_id", "left")
        return segments(people, min_cell=settings.report.min_cell)


def _everybody(opened: Lake) -> DataFrame:
    return opened.users.select("user_id").union(opened.ratings.select("user_id")).distinct()


def _with_film(opened: Lake, film: Film) -> Lake:
    if film.movie_id is not None:
        if not opened.movies.where(F.col("movie_id") == film.movie_id).count():
            raise InputError(f"--movie {film.movie_id}: no such movie in {opened.path}")
        return opened
    known = {row[0] for row in opened.movies.select(F.explode("genres")).distinct().collect()}
    if strangers := sorted(set(film.genres) - known):
        raise InputError(f"--genres: no movie is of {strangers[0]}; there are {'|'.join(sorted(known))}")
    spark = opened.movies.sparkSession
    row = [(NEW_MOVIE, "new movie", film.year, list(film.genres))]
    new = spark.createDataFrame(row, "movie_id long, title string, year int, genres array<string>")
    return replace(opened, movies=opened.movies.unionByName(new))
