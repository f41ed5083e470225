"""recommend: each user's best movies among those that the user has not rated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from importlib.metadata import version

import pandas as pd
from deltalake import Transaction
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.errors import InputError, MovierateError
from movierate_spark.features.rows import as_of
from movierate_spark.model.bundle import Bundle
from movierate_spark.model.calibration import calibrated
from movierate_spark.model.scoring import tables_for
from movierate_spark.progress import Progress
from movierate_spark.recommendation.candidates import candidates_of
from movierate_spark.recommendation.probes import (
    probe_answers,
    probe_pairs,
    probe_rows,
    probes_of,
    with_probes,
)
from movierate_spark.recommendation.sides import movie_side, taste_side, user_side
from movierate_spark.recommendation.top_movies import top_movies
from movierate_spark.session import persisted
from movierate_spark.storage.attempts import Attempt, attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.digests import number_of
from movierate_spark.storage.folders import table_to_write
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.locations import Location
from movierate_spark.storage.tables import pattern_of, reader

NAME, ROWS = "recommend", "recommend/rows"
"""The commit's transactions in the table's log: a digest of its inputs, and its number of rows."""


def recommend_movies(
    bundle: Bundle,
    lake: Lake,
    settings: Settings,
    progress: Progress,
    *,
    target: Location,
    count: int,
    at: datetime | None,
    force: bool = False,
) -> int | None:
    """Write the ``count`` best unseen movies of every user as of ``at``; returns the number of rows.

    If ``at`` is None, it is the second after the last rating. Returns None, and writes nothing, if the table
    was made from the same inputs by the same release and is still complete, unless ``force`` is given.

    Raises:
        InputError: ``count`` is less than 1, ``target`` holds something else, or the settings or ``at`` leave
            no movie to recommend.
        MovierateError: a user would get fewer recommendations than there are.
        ConflictError: another run has published recommendations there meanwhile.
    """
    if count < 1:
        raise InputError(f"{count}: give a number of movies from 1 on", argument="top")
    table = table_to_write(target, "out", schemas.RECOMMENDATIONS)
    known, second = as_of(lake, at)
    options = [count, second.isoformat(), settings.recommend.model_dump(mode="json")]
    release = version("movierate-spark")
    number = number_of(lake.ledger_sha256, bundle.manifest_sha256, options, release)
    is_complete = table.rows() is not None and table.rows() == table.transaction(ROWS)
    if table.transaction(NAME) == number and is_complete and not force:
        return None
    movies = candidates_of(known, settings.recommend)
    with (
        _best(known, bundle, movies, second, count=count, progress=progress) as best,
        progress.step(f"top {count} of every user"),
        attempt_to_write(best, target, schemas.RECOMMENDATIONS) as attempt,
    ):
        _check_complete(attempt, _expected(known, movies, count=count))
        rows = Transaction(ROWS, attempt.rows)
        commit(attempt, to=table, transaction=Transaction(NAME, number), also=[rows])
    return attempt.rows


def _expected(lake: Lake, movies: pd.DataFrame, *, count: int) -> DataFrame:
    """A row per user (user_id, expected): ``count``, or the number of unseen movies if that is less."""
    of_movies = lake.ratings.sparkSession.createDataFrame(movies[["movie_id"]])
    rated = lake.ratings.join(F.broadcast(of_movies), "movie_id", "left_semi")
    seen = rated.groupBy("user_id").agg(F.count_distinct("movie_id").alias("seen"))
    unseen = F.lit(len(movies)) - F.coalesce("seen", F.lit(0))
    of_user = lake.everybody.join(seen, "user_id", "left")
    return of_user.select("user_id", F.least(F.lit(count), unseen).alias("expected"))


def _check_complete(attempt: Attempt, expected: DataFrame) -> None:
    """Refuse the written rows if a user's ranks are not 1, 2, 3 ... up to the expected number."""
    rows = reader(expected.sparkSession).schema(attempt.schema).parquet(pattern_of(attempt.folder))
    ranks = rows.groupBy("user_id").agg(
        F.count("*").alias("rows"), F.max("rank").alias("last"), F.count_distinct("rank").alias("ranks")
    )
    columns = [F.coalesce(name, F.lit(0)) for name in ("expected", "rows", "last", "ranks")]
    differs = F.array_min(F.array(*columns)) != F.array_max(F.array(*columns))
    incomplete = expected.join(ranks, "user_id", "full").where(differs).count()
    if incomplete:
        raise MovierateError(
            f"{attempt.table}: {incomplete} users would not get as many recommendations as there are for them"
            ", or with gaps between the ranks; nothing was published"
        )


@contextmanager
def _best(
    lake: Lake,
    bundle: Bundle,
    movies: pd.DataFrame,
    at: datetime,
    *,
    count: int,
    progress: Progress,
) -> Iterator[DataFrame]:
    probes = probes_of(lake, movies)
    extended = with_probes(lake, probes)
    pairs = probe_pairs(lake, probes, movies, at)
    tables = tables_for(bundle, lake, since=at)
    with ExitStack() as stack:
        with (
            progress.step("what each user and each movie adds"),
            probe_rows(extended, bundle, pairs) as rows,
        ):
            answers = stack.enter_context(persisted(probe_answers(rows, extended.movies, bundle, tables, at)))
            side, nobody = movie_side(answers, probes, movies)
            taste = None if tables is None else taste_side(answers, bundle, tables, side, at)
        users = user_side(lake, answers, probes, with_taste=taste is not None)
        best = top_movies(users, side, nobody, count=count, taste=taste)
        p_like = calibrated(F.col("logit"), bundle.manifest.calibration)
        titles = lake.movies.select("movie_id", "title")
        named = best.join(F.broadcast(titles), "movie_id", "left").select(
            "user_id",
            "rank",
            "movie_id",
            "title",
            "logit",
            p_like.alias("p_like"),
            F.lit(at).alias("at"),
            F.lit(bundle.version).alias("model_version"),
        )
        yield named
