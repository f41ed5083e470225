"""Learn the tables of the taste columns from ratings, block by block.

A time block's tables are learnt from the ratings of the blocks before it. Sums are of whole numbers, so that
the tables do not depend on the partitioning.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from functools import partial

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.config import FeatureSettings
from movierate_spark.features.earlier import Floats, Ints
from movierate_spark.features.learning_factors import learn_factors
from movierate_spark.features.learning_log import RatingLog
from movierate_spark.features.learning_neighbours import learn_neighbours
from movierate_spark.features.neighbours import neighbours
from movierate_spark.features.pairs import deviations
from movierate_spark.features.taste_tables import (
    BlockTables,
    TasteTables,
    broadcast_tables,
    with_unknown,
)
from movierate_spark.features.time_blocks import borders, ratings_before_borders
from movierate_spark.session import persisted

SECONDS_PER_DAY = 86_400


def learn(
    ratings: DataFrame,
    movies: DataFrame,
    settings: FeatureSettings,
    *,
    residual_units: int,
    forced: Collection[int],
) -> TasteTables:
    """The tables of all time blocks that begin up to the last of the ``forced`` borders (epoch seconds).

    ``ratings`` have a row per rating, all of them before the last border: user_id, movie_id, ``at``,
    ``residual`` (in units of 1 / ``residual_units`` stars) and ``user_residual`` (stars). ``movies`` have
    movie_id and title.
    """
    seconds = ratings.withColumn("second", F.unix_seconds("at"))
    begins = _borders(seconds, settings, forced)
    rated = ratings.select("movie_id").distinct().join(movies.select("movie_id", "title"), "movie_id", "left")
    titles = dict(sorted((row["movie_id"], row["title"]) for row in rated.collect()))
    movie_id = np.array(list(titles), np.int64)
    log = RatingLog(seconds, movie_id, begins)
    deviate = partial(deviations, residual_units=residual_units)
    kept = settings.neighbours_max
    spark = ratings.sparkSession

    def blocks(cells: DataFrame, vectors: Iterator[Floats]) -> Iterator[BlockTables]:
        for number, of_movies in enumerate(vectors, start=1):
            of_block = cells.where(F.col("time_block") == number).toPandas()
            of_block = of_block.sort_values(["movie", "neighbour"])
            columns = (of_block[name].to_numpy() for name in ("movie", "neighbour", "weight"))
            table = neighbours(*columns, movies=len(movie_id), kept=kept)
            yield BlockTables(table, with_unknown(of_movies))

    with (
        persisted(learn_neighbours(log, deviate, last=settings.history_max, kept=kept)) as cells,
        closing(learn_factors(log, deviate, task_max_rows=settings.task_max_rows)) as vectors,
    ):
        return broadcast_tables(
            spark, movie_id, list(titles.values()), begins, enumerate(blocks(cells, vectors), start=1)
        )


def _borders(ratings: DataFrame, settings: FeatureSettings, forced: Collection[int]) -> Ints:
    """The first second of each block, from the number of ratings of each day and of the borders' seconds."""
    day = F.floor(F.col("second") / SECONDS_PER_DAY)
    by_day = ratings.groupBy(day.alias("day")).count().toPandas().sort_values("day")
    first, growth = settings.time_block_first, settings.time_block_growth
    reached = by_day["count"].cumsum().to_numpy()
    at_borders = ratings_before_borders(int(by_day["count"].sum()), first=first, growth=growth)
    cut_days = np.unique(by_day["day"].to_numpy()[np.searchsorted(reached, at_borders)])
    cut = ratings.where(day.isin([int(each) for each in cut_days]))
    by_second = cut.groupBy("second").count().toPandas()
    others = by_day[~by_day["day"].isin(cut_days)]
    second = np.concatenate([by_second["second"], (others["day"] + 1) * SECONDS_PER_DAY - 1]).astype(np.int64)
    count = np.concatenate([by_second["count"], others["count"]]).astype(np.int64)
    order = np.argsort(second)
    every = borders(second[order], count[order], first=first, growth=growth, forced=forced)
    return every[every <= max(forced)]
