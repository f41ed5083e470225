"""Totals by movie, and sums for correlations with liking: the second pass over the ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import AGE_GROUPS, genres_or_unknown, is_liked
from movierate_spark.exploration.cells import ALL

TENTHS = 10
SUMS = ("n", "x", "x_squared", "x_liked", "liked")


def numbers() -> dict[str, Column]:
    """Whole numbers whose correlation with liking is reported, by name; null if unknown.

    The age is the first year of the user's age group (1 for under 18). Times are UTC.
    """
    age = F.lit(None).cast("long")
    for name, years in AGE_GROUPS.items():
        age = F.when(F.col("age_group") == name, F.lit(years).cast("long")).otherwise(age)
    year, at = F.col("year").cast("long"), F.col("rated_at")
    genres = F.size("genres").cast("long")
    return {
        "user's age": age,
        "year of release": year,
        "film's age when rated (years)": F.year(at).cast("long") - year,
        "number of genres": F.when(genres > 0, genres),
        "hour of the day": F.hour(at).cast("long"),
        "day of the week": (F.weekday(at) + 1).cast("long"),
        "day of the rating": F.unix_date(F.to_date(at)).cast("long"),
    }


def movie_totals(rows: DataFrame, *, min_rating: float) -> DataFrame:
    """One row per rated movie: ``ratings`` (one per person), ``liked``, and sums of stars and of the numbers.

    ``rows`` are ratings with all attributes. ``tenths`` are tenths of stars, so that sums are whole numbers.
    """
    liked = is_liked(F.col("rating"), min_rating=min_rating).cast("long")
    tenths = F.round(F.col("rating") * TENTHS).cast("long")
    values = numbers()
    named = [value.alias(f"x{i}") for i, value in enumerate(values.values())]
    narrow = rows.select("movie_id", liked.alias("liked"), tenths.alias("tenths"), *named)
    sums = [column for i in range(len(values)) for column in _sums(f"x{i}")]
    return narrow.groupBy("movie_id").agg(
        F.count("*").alias("ratings"),
        F.sum("liked").alias("liked"),
        F.sum("tenths").alias("tenths"),
        F.sum(F.col("tenths") * F.col("tenths")).alias("tenths_squared"),
        *sums,
    )


def _sums(name: str) -> list[Column]:
    x, liked = F.col(name), F.col("liked")
    sums = {"n": F.count(x), "x": F.sum(x), "x_squared": F.sum(x * x), "x_liked": F.sum(x * liked)}
    sums["liked"] = F.sum(F.when(x.isNotNull(), liked))
    return [F.coalesce(sums[part], F.lit(0)).alias(f"{name}_{part}") for part in SUMS]


def number_sums(totals: DataFrame) -> pd.DataFrame:
    """One row per number: ``n`` and the sums for a correlation, over the ratings where it is known.

    ``people`` is a lower bound of the number of people of these ratings: those of the movie with most of
    them.
    """
    names = list(numbers())
    columns = [f"x{i}_{part}" for i in range(len(names)) for part in SUMS]
    people = [F.max(f"x{i}_n").alias(f"x{i}_people") for i in range(len(names))]
    row = totals.agg(*(F.sum(name).alias(name) for name in columns), *people).head()
    values = row.asDict() if row else {}
    parts = (*SUMS, "people")
    rows = [[name, *(values[f"x{i}_{part}"] or 0 for part in parts)] for i, name in enumerate(names)]
    return pd.DataFrame(rows, columns=["number", *parts])


def ratings_per_movie(totals: DataFrame) -> pd.DataFrame:
    """The number of movies by number of ratings: a row per number of ratings, ascending."""
    counted = totals.groupBy("ratings").agg(F.count("*").alias("movies")).toPandas()
    return counted.sort_values("ratings", ignore_index=True)


def leading_movies(
    totals: DataFrame, movies: DataFrame, orders: Mapping[str, tuple[Column, Column]], *, top: int
) -> pd.DataFrame:
    """The first ``top`` movies of each list, in order: a row per (list, movie).

    ``orders`` maps each list to the condition for its movies and the value by which they are sorted, largest
    first. Movies of equal value are sorted by id.
    """
    described = totals.join(movies.select("movie_id", "title", "year", "genres"), "movie_id", "left")
    leading = []
    for name, (condition, value) in orders.items():
        listed = described.where(condition).select(
            F.lit(name).alias("list"),
            "movie_id",
            F.coalesce("title", F.concat(F.lit("movie "), "movie_id")).alias("title"),
            genres_or_unknown().alias("genres"),
            "ratings",
            "liked",
            "tenths",
            "tenths_squared",
            value.alias("value"),
        )
        leading.append(listed.sort(F.desc("value"), "movie_id").limit(top).toPandas())
    return pd.concat(leading, ignore_index=True)


def largest_unlisted(totals: DataFrame, movies: DataFrame, listed: Sequence[int]) -> dict[str, int]:
    """The ratings of the most rated movie that is not ``listed``, by genre and for :data:`ALL`."""
    others = totals.where(~F.col("movie_id").isin(listed)).select("movie_id", "ratings")
    of_genre = others.join(movies.select("movie_id", "genres"), "movie_id", "left").select(
        F.explode(F.array_append(genres_or_unknown(), F.lit(ALL))).alias("genre"), "ratings"
    )
    rows = of_genre.groupBy("genre").agg(F.max("ratings").alias("ratings")).collect()
    return {row["genre"]: row["ratings"] for row in rows}


def genres_together(movies: DataFrame) -> pd.DataFrame:
    """The number of movies in both genres: a row per ordered pair; a genre with itself counts its movies."""
    pairs = movies.select(F.explode("genres").alias("genre"), "genres").select(
        "genre", F.explode("genres").alias("other")
    )
    counted = pairs.groupBy("genre", "other").agg(F.count("*").alias("movies")).toPandas()
    return counted.sort_values(["genre", "other"], ignore_index=True)
