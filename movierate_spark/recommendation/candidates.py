"""The movies that may be recommended."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.config import RecommendSettings
from movierate_spark.errors import InputError
from movierate_spark.storage.lake import Lake


def candidates_of(lake: Lake, settings: RecommendSettings) -> pd.DataFrame:
    """The movies of the set genres and years with enough ratings, by id: movie_id, year, genres.

    Raises:
        InputError: there are none, or no movie is of one of the genres.
    """
    if problem := unknown_genre(lake.movies, settings.genres):
        raise InputError(f"[recommend] genres: {problem}")
    candidates = may_be_recommended(
        lake.movies, genres=settings.genres, year_min=settings.year_min, year_max=settings.year_max
    )
    movies = _supported(lake, candidates, min_support=settings.min_support)
    if movies.empty:
        raise InputError(
            "no movie may be recommended: [recommend] min_support, genres, year_min and year_max leave none"
        )
    return movies


def _supported(lake: Lake, candidates: DataFrame, *, min_support: int) -> pd.DataFrame:
    counts = lake.latest_ratings.groupBy("movie_id").agg(F.count("*").alias("ratings"))
    counted = candidates.join(counts, "movie_id", "left").fillna(0, ["ratings"])
    supported = counted.where(F.col("ratings") >= min_support).select("movie_id", "year", "genres")
    return supported.toPandas().sort_values("movie_id", ignore_index=True)


def may_be_recommended(
    movies: DataFrame, *, genres: Sequence[str], year_min: int | None, year_max: int | None
) -> DataFrame:
    """The movies with one of ``genres`` (any movie if empty), from ``year_min`` to ``year_max``, if given."""
    conditions: list[Column] = []
    if genres:
        conditions.append(F.arrays_overlap("genres", F.array(*map(F.lit, genres))))
    if year_min is not None:
        conditions.append(F.col("year") >= year_min)
    if year_max is not None:
        conditions.append(F.col("year") <= year_max)
    for condition in conditions:
        movies = movies.where(condition)
    return movies


def unknown_genre(movies: DataFrame, genres: Sequence[str]) -> str | None:
    """Which of ``genres`` no movie is of, and which genres there are, as a text; None if all are known."""
    known = {row[0] for row in movies.select(F.explode("genres")).distinct().collect()} if genres else set()
    unknown = sorted(set(genres) - known)
    return f"no movie is of {unknown[0]}; there are {'|'.join(sorted(known))}" if unknown else None
