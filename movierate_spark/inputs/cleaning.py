"""Cleaning: valid lines become typed rows, one per key. Unreadable attributes become unknown."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.columns import AGE_GROUPS, any_of, lookup, one_decimal_number, present, whole_number
from movierate_spark.config import CleanSettings

NO_GENRES = "(no genres listed)"


def clean_ratings(valid: DataFrame) -> DataFrame:
    """One row per (user, movie, second): the highest rating, if there are several."""
    typed = valid.select(
        whole_number(F.col("user_id")).alias("user_id"),
        whole_number(F.col("movie_id")).alias("movie_id"),
        one_decimal_number(F.col("rating")).alias("rating"),
        F.timestamp_seconds(whole_number(F.col("rated_at"))).alias("rated_at"),
    )
    highest = typed.groupBy("user_id", "movie_id", "rated_at").agg(F.max("rating").alias("rating"))
    return highest.select(schemas.RATINGS.names)


def clean_users(valid: DataFrame, *, settings: CleanSettings) -> DataFrame:
    """One row per user. If an id is repeated, the row with the greatest ``raw`` is kept; unknown is null."""
    typed = valid.select(
        whole_number(F.col("user_id")).alias("user_id"),
        lookup(F.upper("gender"), {name.upper(): name for name in settings.genders}).alias("gender"),
        age_group(F.col("age"), age_max=settings.age_max).alias("age_group"),
        present(F.col("occupation")).alias("occupation"),
        zip3(F.col("zip")).alias("zip3"),
        "raw",
    )
    return greatest_raw(typed, "user_id").select(schemas.USERS.names)


def clean_movies(valid: DataFrame) -> DataFrame:
    """One row per movie. If an id is repeated, the row with the greatest ``raw`` is kept."""
    typed = valid.select(
        whole_number(F.col("movie_id")).alias("movie_id"),
        "title",
        F.coalesce(release_year(F.col("title")), plausible_year(F.col("year"))).alias("year"),
        genre_list(F.col("genres")).alias("genres"),
        "raw",
    )
    return greatest_raw(typed, "movie_id").select(schemas.MOVIES.names)


def greatest_raw(rows: DataFrame, key: str) -> DataFrame:
    """One row per key: the one with the greatest ``raw``, compared by bytes."""
    others = [name for name in rows.columns if name not in (key, "raw")]
    greatest = rows.groupBy(key).agg(F.max(F.struct("raw", *others)).alias("greatest"))
    return greatest.select(key, *(f"greatest.{name}" for name in others))


def age_group(age: Column, *, age_max: int) -> Column:
    """The age group of an age in years (1 to ``age_max``) or of a group's name in any case; else null."""
    years = whole_number(age)
    by_years = reduce(
        lambda rest, group: F.when(years >= group[1], F.lit(group[0])).otherwise(rest),
        AGE_GROUPS.items(),
        F.lit(None),
    )
    by_name = any_of(F.lower(F.trim(age)), allowed=tuple(AGE_GROUPS))
    return F.when(years.between(1, age_max), by_years).otherwise(by_name)


def zip3(zip_code: Column) -> Column:
    """The first three digits of a five-digit US zip code or a ZIP+4; else null."""
    prefix = F.regexp_extract(F.trim(zip_code), r"\A(\d{3})\d{2}(?:-\d{4})?\z", 1)
    return present(prefix)


def release_year(title: Column) -> Column:
    """The last year in parentheses in a title, or the first of a range such as (1994-1998); else null."""
    return plausible_year(F.regexp_extract(title, r"(?s)\A.*\((\d{4})(?:[-\u2013]\d{0,4})?\)", 1))


def plausible_year(text: Column) -> Column:
    """The year if it is from 1870 (no film is older) to 2100; else null."""
    year = whole_number(text)
    return F.when(year.between(1870, 2100), year.cast("int"))


def genre_list(text: Column) -> Column:
    """The distinct genres of a ``|``-separated list; an empty array if unknown, never null."""
    parts = F.split(F.coalesce(text, F.lit("")), r"\|", -1)
    trimmed = F.transform(parts, lambda genre: F.trim(genre))  # F.trim itself would also take the index
    genres = F.filter(trimmed, lambda genre: (F.length(genre) > 0) & (F.lower(genre) != NO_GENRES))
    return F.array_distinct(genres)
