"""A small timeline, the tables that are learnt from it, and the taste columns of its rows."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from timelines import DAY, Row, options, rows_by_user, timeline

from movierate_spark.config import FeatureSettings
from movierate_spark.features.history import (
    with_levels,
    with_priors,
    with_user_history,
)
from movierate_spark.features.learning import learn
from movierate_spark.features.task_history import RESIDUAL_UNITS
from movierate_spark.features.taste_tables import TasteTables

LAST, KEPT = 8, 5
"""How many ratings of a user are looked at, and how many neighbours of a movie are kept."""
END = 8 * DAY
"""Of training. There are ratings and requests after it, too."""
QUIET = 5 * DAY
"""A day without ratings, but with requests."""
FORCED = (QUIET + 100, QUIET + 200, END)
"""The block that the first one begins has no ratings."""
UNKNOWN = 99
"""A movie that is asked for, and that nobody has rated."""
USERS, MOVIES = range(1, 13), range(1, 16)
HEAVY = 1
ORDER = ["user_id", "movie_id", "second"]


def rows() -> list[Row]:
    """Ratings of two tastes, many again or in shared seconds, and requests: every fourth is of one user."""
    chance = random.Random(5)
    days = [day for day in range(10) if day != QUIET // DAY]
    seconds = [day * DAY + hour * 7_200 + second for day in days for hour in range(5) for second in (0, 1)]
    ratings: dict[tuple[int, int, int], float] = {}
    for i in range(400):
        user, movie = HEAVY if i % 4 == 0 else chance.choice(USERS), chance.choice(MOVIES)
        likes = (user % 2 == movie % 2) != (chance.random() < 0.1)
        stars = chance.choice([4.0, 4.5, 5.0] if likes else [0.5, 1.0, 1.5])
        ratings[user, movie, chance.choice(seconds)] = stars
    times = [0, *range(DAY, 12 * DAY, DAY // 2), QUIET + 99, QUIET + 100, QUIET + 150, END - 1, END, END + 1]
    requests = {
        (chance.choice([*USERS, 50]), movie, second)
        for second in times
        for movie in (chance.choice(MOVIES), UNKNOWN)
    }
    return [*((*key, stars) for key, stars in ratings.items()), *((*key, None) for key in sorted(requests))]


@dataclass(frozen=True)
class Study:
    """What is learnt from a timeline up to :data:`END`, and what its rows get."""

    by_user: DataFrame
    settings: FeatureSettings
    ratings: pd.DataFrame
    tables: TasteTables

    @cached_property
    def columns(self) -> pd.DataFrame:
        """All rows with the columns that the tables give them."""
        return self.with_tables(self.tables)

    def with_tables(self, tables: TasteTables, *, shares: int = 0) -> pd.DataFrame:
        """All rows with the columns that other tables give them."""
        frame = with_user_history(self.by_user, self.settings, min_rating=4.0, tables=tables, shares=shares)
        names = ["residual", "user_residual", "user_count", "user_neighbours", "user_factors", "rating"]
        names += ["similar_ratings"] if shares else []
        columns = frame.select("user_id", "movie_id", F.unix_seconds("at").alias("second"), *names)
        return columns.toPandas().sort_values(ORDER, ignore_index=True)


def study(spark: SparkSession, log: list[Row], *, task_max_rows: int = 1_000) -> Study:
    """Learn, and keep the rows, from any ratings and requests."""
    settings = options(
        task_max_rows=task_max_rows,
        history_max=LAST,
        neighbours_max=KEPT,
        time_block_first=30,
        time_block_growth=2.0,
    )
    frame = with_priors(timeline(spark, log), min_rating=4.0).localCheckpoint()
    by_user = rows_by_user(frame, settings).persist()
    levels = with_levels(by_user, settings).where(F.unix_seconds("at") < END).persist()
    in_one_task = settings.model_copy(update={"task_max_rows": 1_000})
    movies = spark.createDataFrame(
        [(i, f"Movie {i}") for i in range(1, 30, 2)], "movie_id long, title string"
    )
    tables = learn(levels, movies, in_one_task, residual_units=RESIDUAL_UNITS, forced=FORCED)
    ratings = levels.withColumn("second", F.unix_seconds("at")).drop("at", "rating").toPandas()
    return Study(by_user, settings, ratings.sort_values(ORDER, ignore_index=True), tables)


def a_block_late(tables: TasteTables) -> TasteTables:
    """What must not be: each block's tables are learnt from its own ratings, too."""
    later = {number - 1: block for number, block in tables.blocks.items() if number > 1}
    return replace(tables, begins=tables.begins[:-1], blocks=later)


def cells(tables: TasteTables, block: int) -> dict[tuple[int, int], float]:
    """A block's neighbours by their ids."""
    table = tables.of_block(block).neighbours
    row, column = np.nonzero(table.weight)
    pairs = zip(tables.movie_id[row], tables.movie_id[table.neighbour[row, column]], strict=True)
    return dict(zip(pairs, table.weight[row, column].tolist(), strict=True))


def vectors(tables: TasteTables, block: int, movie_id: list[int]) -> np.ndarray:
    """A block's vectors of some movies; zeros for those that the tables don't have."""
    return tables.of_block(block).vectors[tables.index(np.array(movie_id))]
