"""Ratings and likes by user and cell: one pass over the ratings for many figures."""

from __future__ import annotations

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import DEMOGRAPHICS, UNKNOWN, genres_or_unknown, is_liked

ALL = "all"
GENRE, STARS, MONTH, WEEKDAY, HOUR = "genre", "stars", "month", "weekday", "hour"
ACTIVITY = "activity"
COUNTS = (
    "people", "ratings", "liked",
    "ratings_squared", "ratings_liked", "liked_squared", "ratings_cubed", "ratings_fourth",
)  # fmt: skip


def cells(rows: DataFrame, users: DataFrame, *, min_rating: float) -> pd.DataFrame:
    """Totals of every cell: a row per (figure, value, attribute, group), sorted by these.

    ``rows`` are ratings with their movies' ``genres``, without repetitions. Figures are ``all``, ``stars``,
    ``month``, ``weekday`` (1 is Monday), ``hour`` (times in UTC) and ``genre``, where a film counts in each
    of its genres. Attribute ``all`` counts everybody. The figures ``all`` and ``genre`` are also given by
    ``gender``, ``age_group`` and ``occupation``, and ``all`` by ``activity``, the user's number of ratings.
    Unknown is a separate value. The counts :data:`COUNTS` are people, ratings, likes, and sums over people of
    squares, products and powers, from which :mod:`movierate_spark.exploration.rates` computes standard
    errors. They are whole numbers; the third and fourth powers are added up exactly, and then rounded.
    """
    squared = F.col("n").cast("decimal(9,0)") * F.col("n").cast("decimal(9,0)")
    grouped = (
        _by_user(rows, min_rating=min_rating)
        .join(users.select("user_id", *DEMOGRAPHICS), "user_id", "left")
        .select("figure", "value", "n", "likes", F.explode(_groups()).alias("group"))
        .groupBy("figure", "value", "group.attribute", "group.group")
        .agg(
            F.count("*").alias("people"),
            F.sum("n").alias("ratings"),
            F.sum("likes").alias("liked"),
            F.sum(F.col("n") * F.col("n")).alias("ratings_squared"),
            F.sum(F.col("n") * F.col("likes")).alias("ratings_liked"),
            F.sum(F.col("likes") * F.col("likes")).alias("liked_squared"),
            F.sum(squared * F.col("n").cast("decimal(9,0)")).cast("double").alias("ratings_cubed"),
            F.sum(squared * squared).cast("double").alias("ratings_fourth"),
        )
    )
    keys = ["figure", "value", "attribute", "group"]
    return grouped.toPandas().sort_values(keys, ignore_index=True)


def _by_user(rows: DataFrame, *, min_rating: float) -> DataFrame:
    """One row per (user_id, figure, value) with ``n`` ratings and ``likes``, by a single shuffle."""
    at = F.col("rated_at")
    figures = F.concat(
        F.array(
            _cell(ALL, F.lit(ALL)),
            _cell(STARS, F.col("rating").cast("string")),
            _cell(MONTH, F.date_format(at, "yyyy-MM")),
            _cell(WEEKDAY, (F.weekday(at) + 1).cast("string")),
            _cell(HOUR, F.format_string("%02d", F.hour(at))),
        ),
        F.transform(genres_or_unknown(), lambda genre: _cell(GENRE, genre)),
    )
    liked = is_liked(F.col("rating"), min_rating=min_rating).cast("long")
    exploded = rows.repartition("user_id").select(
        "user_id", liked.alias("liked"), F.explode(figures).alias("cell")
    )
    return exploded.groupBy("user_id", "cell.figure", "cell.value").agg(
        F.count("*").alias("n"), F.sum("liked").alias("likes")
    )


def _cell(figure: str, value: Column) -> Column:
    return F.struct(F.lit(figure).alias("figure"), value.alias("value"))


def _groups() -> Column:
    """The groups in which a user's row counts."""
    everybody = F.array(_group(ALL, F.lit(ALL)))
    people = F.array(*(_group(name, F.coalesce(F.col(name), F.lit(UNKNOWN))) for name in DEMOGRAPHICS))
    active = F.array(_group(ACTIVITY, F.col("n").cast("string")))
    figure = F.col("figure")
    return (
        F.when(figure == ALL, F.concat(everybody, people, active))
        .when(figure == GENRE, F.concat(everybody, people))
        .otherwise(everybody)
    )


def _group(attribute: str, group: Column) -> Column:
    return F.struct(F.lit(attribute).alias("attribute"), group.alias("group"))
