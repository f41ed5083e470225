"""Probes: artificial users and movies without ratings, with at most one known attribute.

The difference of the model's log odds for two pairs, with and without the attribute, is what it adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.errors import InputError
from movierate_spark.features.history import tastes_as_of
from movierate_spark.features.rows import complete_rows, rows_by_user
from movierate_spark.features.taste import TASTE_COLUMNS
from movierate_spark.features.taste_tables import TasteTables
from movierate_spark.model.bundle import Bundle
from movierate_spark.model.scoring import with_logit, without_taste
from movierate_spark.session import persisted
from movierate_spark.storage.lake import Lake

NOBODY = -1
MOST_PAIRS = 30_000_000
"""Of movies and values of users: the driver has them all, at 24 bytes as rows and 8 in a matrix."""
PROBE_USERS = "user_id long, gender string, age_group string, occupation string"
PROBE_MOVIES = "movie_id long, title string, year int, genres array<string>"


@dataclass(frozen=True)
class Probes:
    """Probe movies, each with one genre or one decade, and probe users, each with one value of a group.

    Probe movies have the ids -1 (no genre, no year), then -2, -3, ... for ``genres`` and ``decades`` (their
    first years). Probe users have the ids -1 (nothing known), then -2, -3, ... for ``values``, pairs of group
    and value.
    """

    genres: Sequence[str]
    decades: Sequence[int]
    values: Sequence[tuple[str, str]]

    @property
    def movies(self) -> list[tuple[int, str | None, int | None, list[str]]]:
        """Rows of probe movies: movie_id, title, year, genres."""
        kinds: list[tuple[int | None, list[str]]] = [
            (None, []), *((None, [genre]) for genre in self.genres), *((year, []) for year in self.decades)
        ]  # fmt: skip
        return [(NOBODY - i, None, year, genres) for i, (year, genres) in enumerate(kinds)]

    @property
    def users(self) -> list[tuple[int | str | None, ...]]:
        """Rows of probe users: user_id, gender, age_group, occupation; None is unknown."""
        kinds = [("", ""), *self.values]
        return [
            (NOBODY - i, *(value if group == name else None for group in DEMOGRAPHICS))
            for i, (name, value) in enumerate(kinds)
        ]


def probes_of(lake: Lake, movies: pd.DataFrame) -> Probes:
    """The probes for the genres and decades of ``movies`` and for the values of the lake's users.

    Raises:
        InputError: there are so many genres, or values of users, that their pairs with the movies would not
            fit into memory.
    """
    genres = sorted({genre for of_movie in movies["genres"] for genre in of_movie})
    decades = sorted({int(year) // 10 * 10 for year in movies["year"].dropna()})
    values = [
        (group, row[0])
        for group in DEMOGRAPHICS
        for row in lake.users.select(group).where(F.col(group).isNotNull()).distinct().sort(group).collect()
    ]
    group, number = Counter(group for group, _ in values).most_common(1)[0] if values else ("", 0)
    attributes = {group: (number, len(values)), "genres": (len(genres), len(genres) + len(decades))}
    for name, (number, together) in attributes.items():
        if together * len(movies) > MOST_PAIRS:
            raise InputError(
                f"{lake.path}: {number} values of {name} are too many for {len(movies)} movies: deliver fewer"
                f" than {MOST_PAIRS // len(movies)}, or recommend fewer movies ([recommend])"
            )
    return Probes(genres, decades, values)


def with_probes(lake: Lake, probes: Probes) -> Lake:
    """The lake with the probe users and the probe movies, who have no ratings."""
    spark = lake.ratings.sparkSession
    users = spark.createDataFrame(probes.users, PROBE_USERS)
    movies = spark.createDataFrame(probes.movies, PROBE_MOVIES)
    return replace(
        lake,
        users=lake.users.unionByName(users, allowMissingColumns=True),
        movies=lake.movies.unionByName(movies),
    )


def probe_pairs(lake: Lake, probes: Probes, movies: pd.DataFrame, at: datetime) -> DataFrame:
    """Every user with every probe movie, and every probe user with each of ``movies``.

    Columns: user_id, movie_id and ``at``.
    """
    spark = lake.ratings.sparkSession
    candidates = spark.createDataFrame(movies[["movie_id"]])
    users = spark.createDataFrame(probes.users, PROBE_USERS).select("user_id")
    probe_movies = F.broadcast(spark.createDataFrame(probes.movies, PROBE_MOVIES).select("movie_id"))
    pairs = (
        lake.everybody.crossJoin(probe_movies),
        candidates.crossJoin(F.broadcast(users)),
        users.crossJoin(probe_movies),
    )
    return reduce(DataFrame.unionByName, pairs).withColumn("at", F.lit(at))


@contextmanager
def probe_rows(lake: Lake, bundle: Bundle, pairs: DataFrame) -> Iterator[DataFrame]:
    """The rows of the pairs, as of :func:`movierate_spark.features.rows.rows_by_user`.

    They are kept meanwhile if they are read twice: for the model's log odds and for users' tastes.
    """
    rows = rows_by_user(lake, bundle.features, min_rating=bundle.manifest.label.min_rating, requests=pairs)
    if not bundle.features.uses_taste:
        yield rows
        return
    with persisted(rows) as kept:
        yield kept


def probe_answers(
    rows: DataFrame, movies: DataFrame, bundle: Bundle, tables: TasteTables | None, at: datetime
) -> DataFrame:
    """The log odds of the pairs without the taste columns, and what these take from each side of a pair.

    A row per pair: user_id, movie_id, ``logit``. With taste columns, also ``movie_difference`` (the movie's
    mean above that of all ratings) and ``movie_spread``, both in stars, and the columns of
    :data:`movierate_spark.recommendation.sides.USER_TASTE`. Their arrays are null, but for the pairs with
    the movie that nobody knows of users with ratings, if anything was learnt before ``at``.
    """
    # Taken off again below, so that there is no need to know them.
    taste = {} if tables is None else dict.fromkeys(TASTE_COLUMNS, F.lit(0.0))
    min_rating = bundle.manifest.label.min_rating
    completed = complete_rows(rows, movies, bundle.features, min_rating=min_rating).withColumns(taste)
    scored = with_logit(bundle.transform(completed))
    answers = scored.withColumn("logit", without_taste(bundle))
    if tables is None:
        return answers.select("user_id", "movie_id", "logit")
    difference = (F.col("movie_mean") - F.col("prior_mean")).alias("movie_difference")
    sides: list[str | Column] = ["user_residual", "user_spread", "user_count", difference, "movie_spread"]
    tastes = tastes_as_of(rows, bundle.features, tables, at=at, movie_id=NOBODY)
    pairs = answers.select("user_id", "movie_id", "logit", *sides)
    return pairs.join(
        tastes.withColumn("movie_id", F.lit(NOBODY).cast("long")), ["user_id", "movie_id"], "left"
    )
