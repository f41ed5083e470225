"""audience: who would like a movie of the lake or a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.features.rows import as_of
from movierate_spark.model.bundle import Bundle
from movierate_spark.progress import Progress
from movierate_spark.recommendation.audience import segments
from movierate_spark.recommendation.candidates import unknown_genre
from movierate_spark.storage.lake import Lake

NEW_MOVIE = -1


@dataclass(frozen=True)
class Film:
    """A movie of the lake by its id, or a new one by genres and year."""

    movie_id: int | None = None
    genres: Sequence[str] = ()
    year: int | None = None


def audience_of(
    bundle: Bundle,
    lake: Lake,
    settings: Settings,
    progress: Progress,
    *,
    film: Film,
    at: datetime | None,
) -> pd.DataFrame:
    """Segments of all users, by how likely they are to like the movie as of ``at``.

    If ``at`` is None, it is the second after the last rating. The columns are those of
    :func:`movierate_spark.recommendation.audience.segments`.

    Raises:
        InputError: the lake has no such movie, no movie of one of the genres, or no ratings before ``at``.
    """
    lake, second = as_of(_with_film(lake, film), at)
    movie_id = NEW_MOVIE if film.movie_id is None else film.movie_id
    pairs = lake.everybody.select("user_id", F.lit(movie_id).cast("long").alias("movie_id"))
    predicted = bundle.predict(lake, pairs.withColumn("at", F.lit(second)), reasons=0)
    with progress.step("score every user"):
        people = predicted.select("user_id", "p_like").join(lake.users, "user_id", "left")
        return segments(people, min_cell=settings.report.min_cell)


def _with_film(lake: Lake, film: Film) -> Lake:
    if film.movie_id is not None:
        if not lake.movies.where(F.col("movie_id") == film.movie_id).count():
            raise InputError(f"{film.movie_id}: no such movie in {lake.path}", argument="movie")
        return lake
    if problem := unknown_genre(lake.movies, film.genres):
        raise InputError(f"{'|'.join(film.genres)}: {problem}", argument="genres")
    spark = lake.movies.sparkSession
    row = [(NEW_MOVIE, "new movie", film.year, list(film.genres))]
    new = spark.createDataFrame(row, "movie_id long, title string, year int, genres array<string>")
    return replace(lake, movies=lake.movies.unionByName(new))
