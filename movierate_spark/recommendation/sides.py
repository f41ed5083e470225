"""What each user and each movie adds to the log odds of a pair, from the log odds of pairs with probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyspark import Broadcast
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, IntegerType, LongType, StructField, StructType

from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.features.earlier import Floats
from movierate_spark.features.factors import RANK
from movierate_spark.features.history import TASTES
from movierate_spark.features.lookback import Indices
from movierate_spark.features.taste_tables import BlockTables, TasteTables
from movierate_spark.model.bundle import Bundle
from movierate_spark.model.scoring import taste_coefficients
from movierate_spark.recommendation.probes import NOBODY, Probes
from movierate_spark.recommendation.taste import MovieTaste, TasteCoefficients
from movierate_spark.storage.lake import Lake

USER_SIDE = StructType(
    [
        StructField("user_id", LongType()),
        *(StructField(f"{group}_value", IntegerType()) for group in DEMOGRAPHICS),
        StructField("logits", ArrayType(DoubleType())),
        StructField("seen", ArrayType(LongType())),
    ]
)
USER_TASTE = StructType(
    [
        StructField("user_residual", DoubleType()),
        StructField("user_spread", DoubleType()),
        StructField("user_count", LongType()),
        *(field for field in TASTES if field.name != "user_id"),
    ]
)
"""What the users also have where the model has the taste columns; nothing is null."""


@dataclass(frozen=True)
class MovieSide:
    """The movies that may be recommended, sorted by id, and their parts of the log odds.

    ``own`` is the part of the movie alone. ``by_taste`` (movies x genres and decades) are the weights of a
    user's tastes. ``by_group`` (values x movies) is the part of each value of a group; its last row, for
    unknown, is 0.
    """

    movie_id: NDArray[np.int64]
    own: Floats
    by_taste: Floats
    by_group: Floats


@dataclass(frozen=True)
class TasteSide:
    """What the taste columns take from the movies that may be recommended; an entry for each in the arrays.

    ``tables`` are those of the block, None in block 0, and ``index`` the movies' indices in them;
    ``mean_difference`` is the movie's mean above that of all ratings, ``spread`` the movie's spread (stars).
    """

    coefficients: TasteCoefficients
    tables: Broadcast[BlockTables] | None
    index: Indices
    mean_difference: Floats
    spread: Floats

    def movies(self) -> MovieTaste:
        """The movies' side of the products."""
        tables = None if self.tables is None else self.tables.value
        return MovieTaste.of(tables, self.index, self.mean_difference, self.spread)


def movie_parts(
    probes: Probes,
    movie_id: NDArray[np.int64],
    genres: Sequence[Sequence[str]],
    year: Sequence[int | None],
    logits: Floats,
    nobody: Floats,
) -> MovieSide:
    """The movies' parts, from ``logits`` (probe users x movies) and ``nobody`` (the same, probe movie -1)."""
    base = nobody[0]
    own = logits[0] - base
    by_group = logits[1:] - nobody[1:, None] - own[None, :]
    tastes = np.zeros((len(movie_id), len(probes.genres) + len(probes.decades)))
    genre_at = {genre: i for i, genre in enumerate(probes.genres)}
    decade_at = {first: len(probes.genres) + i for i, first in enumerate(probes.decades)}
    for row, (movie_genres, movie_year) in enumerate(zip(genres, year, strict=True)):
        for genre in movie_genres:
            tastes[row, genre_at[genre]] = 1 / len(movie_genres)
        if movie_year is not None:
            tastes[row, decade_at[movie_year // 10 * 10]] = 1
    unknown = np.zeros((1, len(movie_id)))
    return MovieSide(movie_id, own, tastes, np.concatenate([by_group, unknown]))


def taste_side(
    answers: DataFrame, bundle: Bundle, tables: TasteTables, side: MovieSide, at: datetime
) -> TasteSide:
    """The movies' side of the taste columns."""
    of_movies = answers.where(F.col("user_id") == NOBODY).select(
        "movie_id", "movie_difference", "movie_spread"
    )
    by_movie = of_movies.toPandas().set_index("movie_id").loc[side.movie_id]
    block = tables.block_at(at)
    return TasteSide(
        TasteCoefficients(**taste_coefficients(bundle)),
        tables.blocks[block] if block else None,
        tables.index(side.movie_id),
        by_movie["movie_difference"].to_numpy(),
        by_movie["movie_spread"].to_numpy(),
    )


def movie_side(logits: DataFrame, probes: Probes, movies: pd.DataFrame) -> tuple[MovieSide, np.ndarray]:
    """The movies' side, and the log odds of the first probe user with the probe movies.

    What the driver collects is as large as movies times probe users.
    """
    by_user = (
        logits.where(F.col("user_id") < 0)
        .select("user_id", "movie_id", "logit")
        .toPandas()
        .pivot(index="user_id", columns="movie_id", values="logit")
    )
    by_probe = by_user.loc[[user[0] for user in probes.users]]
    with_probes = by_probe[[movie[0] for movie in probes.movies]].to_numpy()
    movie_id = movies["movie_id"].to_numpy()
    years = [None if pd.isna(year) else int(year) for year in movies["year"]]
    side = movie_parts(
        probes, movie_id, list(movies["genres"]), years, by_probe[movie_id].to_numpy(), with_probes[:, 0]
    )
    return side, with_probes[0]


def user_side(lake: Lake, answers: DataFrame, probes: Probes, *, with_taste: bool = False) -> DataFrame:
    """A row per user: the places of their groups' values, log odds with the probe movies, rated movies.

    Their columns are :data:`USER_SIDE` and, if the model has taste columns, :data:`USER_TASTE`.
    """
    of_users = answers.where((F.col("user_id") >= 0) & (F.col("movie_id") <= NOBODY))
    ordered = F.array_sort(F.collect_list(F.struct((-F.col("movie_id")).alias("place"), "logit")))
    by_user = of_users.groupBy("user_id").agg(
        F.transform(ordered, lambda each: each["logit"]).alias("logits")
    )
    seen = lake.latest_ratings.groupBy("user_id").agg(F.collect_list("movie_id").alias("seen"))
    users = by_user.join(lake.users, "user_id", "left").join(seen, "user_id", "left")
    nothing = F.array().cast("array<long>")
    users = _with_places(users, probes).withColumn("seen", F.coalesce("seen", nothing))
    if not with_taste:
        return users.select(*USER_SIDE.names)
    tastes = answers.where(F.col("movie_id") == NOBODY).select("user_id", *USER_TASTE.names)
    return users.join(tastes, "user_id").select(*USER_SIDE.names, *map(_filled, USER_TASTE))


def _filled(field: StructField) -> Column:
    """A column of :data:`USER_TASTE`, with no ratings and a vector of zeros for a user without them."""
    if not isinstance(field.dataType, ArrayType):
        return F.col(field.name)
    is_vector = field.name == "taste_vector"
    nothing = F.array_repeat(F.lit(0.0), RANK) if is_vector else F.array().cast(field.dataType)
    return F.coalesce(field.name, nothing).alias(field.name)


def _with_places(users: DataFrame, probes: Probes) -> DataFrame:
    """Add the place of each group's value among the probes; unknown values get the place after the last.

    This uses joins: with free text, one condition per value would overflow the JVM's stack.
    """
    for group in DEMOGRAPHICS:
        places = [(value, place) for place, (name, value) in enumerate(probes.values) if name == group]
        table = users.sparkSession.createDataFrame(places, f"{group} string, place int")
        unknown = F.lit(len(probes.values))
        place = F.coalesce("place", unknown).alias(f"{group}_value")
        users = users.join(F.broadcast(table), group, "left").select(*users.columns, place)
    return users
