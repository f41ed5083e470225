"""recommend: each user's best movies among those that the user has not rated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import reduce
from importlib.metadata import version

import numpy as np
import pandas as pd
from deltalake import Transaction
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructField

from movierate_spark import schemas
from movierate_spark.config import RecommendSettings, Settings
from movierate_spark.errors import InputError, MovierateError
from movierate_spark.features.factors import RANK
from movierate_spark.features.history import tastes_as_of
from movierate_spark.features.rows import as_of, complete_rows, rows_by_user
from movierate_spark.features.task_history import GROUPS
from movierate_spark.features.taste import TASTE_COLUMNS
from movierate_spark.features.taste_tables import TasteTables
from movierate_spark.model.bundle import Bundle
from movierate_spark.model.calibration import calibrated
from movierate_spark.model.scoring import tables_for, taste_coefficients, with_logit, without_taste
from movierate_spark.progress import Progress
from movierate_spark.recommendation.candidates import (
    NOBODY,
    MovieSide,
    Probes,
    may_be_recommended,
    movie_side,
    unknown_genre,
)
from movierate_spark.recommendation.taste import TasteCoefficients
from movierate_spark.recommendation.top_movies import USER_SIDE, USER_TASTE, TasteSide, top_movies
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
PROBE_USERS = "user_id long, gender string, age_group string, occupation string"
PROBE_MOVIES = "movie_id long, title string, year int, genres array<string>"


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
    candidates, movies = _may_be_recommended(known, settings.recommend)
    with (
        _best(known, bundle, candidates, movies, second, count=count, progress=progress) as best,
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


def _may_be_recommended(lake: Lake, settings: RecommendSettings) -> tuple[DataFrame, pd.DataFrame]:
    """The movies of the set genres and years, and those of them with enough ratings."""
    if problem := unknown_genre(lake.movies, settings.genres):
        raise InputError(f"[recommend] genres: {problem}")
    candidates = may_be_recommended(
        lake.movies, genres=settings.genres, year_min=settings.year_min, year_max=settings.year_max
    )
    movies = _movies(lake, candidates, min_support=settings.min_support)
    if movies.empty:
        raise InputError(
            "no movie may be recommended: [recommend] min_support, genres, year_min and year_max leave none"
        )
    return candidates, movies


@contextmanager
def _best(
    lake: Lake,
    bundle: Bundle,
    candidates: DataFrame,
    movies: pd.DataFrame,
    at: datetime,
    *,
    count: int,
    progress: Progress,
) -> Iterator[DataFrame]:
    probes = _probes(lake, movies)
    extended = _with_probes(lake, probes)
    pairs = _probe_pairs(lake, probes, candidates, at)
    tables = tables_for(bundle, lake)
    with ExitStack() as stack:
        with (
            progress.step("what each user and each movie adds"),
            _probe_rows(extended, bundle, pairs) as rows,
        ):
            answers = stack.enter_context(persisted(_answers(rows, extended.movies, bundle, tables, at)))
            side, nobody = _movie_side(answers, probes, movies)
            taste = None if tables is None else _taste_side(answers, bundle, tables, side, at)
        users = _user_side(lake, answers, probes, with_taste=taste is not None)
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


def _movies(lake: Lake, candidates: DataFrame, *, min_support: int) -> pd.DataFrame:
    """The movies that may be recommended, ascending by id: movie_id, year, genres."""
    counts = lake.latest_ratings.groupBy("movie_id").agg(F.count("*").alias("ratings"))
    counted = candidates.join(counts, "movie_id", "left").fillna(0, ["ratings"])
    supported = counted.where(F.col("ratings") >= min_support).select("movie_id", "year", "genres")
    return supported.toPandas().sort_values("movie_id", ignore_index=True)


def _probes(lake: Lake, movies: pd.DataFrame) -> Probes:
    genres = sorted({genre for of_movie in movies["genres"] for genre in of_movie})
    decades = sorted({int(year) // 10 * 10 for year in movies["year"].dropna()})
    values = [
        (group, row[0])
        for group in GROUPS
        for row in lake.users.select(group).where(F.col(group).isNotNull()).distinct().sort(group).collect()
    ]
    return Probes(genres, decades, values)


def _with_probes(lake: Lake, probes: Probes) -> Lake:
    """The lake with the probe users and the probe movies, who have no ratings."""
    spark = lake.ratings.sparkSession
    users = spark.createDataFrame(probes.users, PROBE_USERS)
    movies = spark.createDataFrame(probes.movies, PROBE_MOVIES)
    return replace(
        lake,
        users=lake.users.unionByName(users, allowMissingColumns=True),
        movies=lake.movies.unionByName(movies),
    )


def _probe_pairs(lake: Lake, probes: Probes, candidates: DataFrame, at: datetime) -> DataFrame:
    """Every user with every probe movie, and every probe user with every movie: user_id, movie_id, ``at``."""
    spark = lake.ratings.sparkSession
    users = spark.createDataFrame(probes.users, PROBE_USERS).select("user_id")
    movies = F.broadcast(spark.createDataFrame(probes.movies, PROBE_MOVIES).select("movie_id"))
    pairs = (
        lake.everybody.crossJoin(movies),
        candidates.select("movie_id").crossJoin(F.broadcast(users)),
        users.crossJoin(movies),
    )
    return reduce(DataFrame.unionByName, pairs).withColumn("at", F.lit(at))


@contextmanager
def _probe_rows(lake: Lake, bundle: Bundle, pairs: DataFrame) -> Iterator[DataFrame]:
    """The rows of the pairs, as of :func:`movierate_spark.features.rows.rows_by_user`.

    They are kept meanwhile if they are read twice: for the model's log odds and for users' tastes.
    """
    rows = rows_by_user(lake, bundle.features, min_rating=bundle.manifest.label.min_rating, requests=pairs)
    if not bundle.features.uses_taste:
        yield rows
        return
    with persisted(rows) as kept:
        yield kept


def _answers(
    rows: DataFrame, movies: DataFrame, bundle: Bundle, tables: TasteTables | None, at: datetime
) -> DataFrame:
    """The log odds of the pairs without the taste columns, and what these take from each side of a pair.

    A row per pair: user_id, movie_id, ``logit``; with taste columns also those of the user side
    (:data:`USER_TASTE`; its arrays are null but for the movie that nobody knows, and there where the user has
    no ratings or nothing was learnt before ``at``), ``movie_lift`` and ``movie_spread`` (both in stars).
    """
    # Taken off again below, so that there is no need to know them.
    taste = {} if tables is None else dict.fromkeys(TASTE_COLUMNS, F.lit(0.0))
    min_rating = bundle.manifest.label.min_rating
    completed = complete_rows(rows, movies, bundle.features, min_rating=min_rating).withColumns(taste)
    scored = with_logit(bundle.transform(completed))
    answers = scored.withColumn("logit", without_taste(bundle))
    if tables is None:
        return answers.select("user_id", "movie_id", "logit")
    lift = (F.col("movie_mean") - F.col("prior_mean")).alias("movie_lift")
    sides: list[str | Column] = ["user_residual", "user_spread", "user_count", lift, "movie_spread"]
    tastes = tastes_as_of(rows, bundle.features, tables, at=at, movie_id=NOBODY)
    pairs = answers.select("user_id", "movie_id", "logit", *sides)
    return pairs.join(
        tastes.withColumn("movie_id", F.lit(NOBODY).cast("long")), ["user_id", "movie_id"], "left"
    )


def _taste_side(
    answers: DataFrame, bundle: Bundle, tables: TasteTables, side: MovieSide, at: datetime
) -> TasteSide:
    """The movies' side of the taste columns."""
    of_movies = answers.where(F.col("user_id") == NOBODY).select("movie_id", "movie_lift", "movie_spread")
    by_movie = of_movies.toPandas().set_index("movie_id").loc[side.movie_id]
    block = tables.block_at(at)
    return TasteSide(
        TasteCoefficients(**taste_coefficients(bundle)),
        tables.blocks[block - 1] if block else None,
        tables.index(side.movie_id),
        by_movie["movie_lift"].to_numpy(),
        by_movie["movie_spread"].to_numpy(),
    )


def _movie_side(logits: DataFrame, probes: Probes, movies: pd.DataFrame) -> tuple[MovieSide, np.ndarray]:
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
    side = movie_side(
        probes, movie_id, list(movies["genres"]), years, by_probe[movie_id].to_numpy(), with_probes[:, 0]
    )
    return side, with_probes[0]


def _user_side(lake: Lake, answers: DataFrame, probes: Probes, *, with_taste: bool = False) -> DataFrame:
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
    for group in GROUPS:
        places = [(value, place) for place, (name, value) in enumerate(probes.values) if name == group]
        table = users.sparkSession.createDataFrame(places, f"{group} string, place int")
        unknown = F.lit(len(probes.values))
        place = F.coalesce("place", unknown).alias(f"{group}_value")
        users = users.join(F.broadcast(table), group, "left").select(*users.columns, place)
    return users
