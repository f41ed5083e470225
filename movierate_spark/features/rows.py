"""From the lake to the rows that a feature pipeline reads, for training and scoring alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import is_liked
from movierate_spark.config import FeatureSettings
from movierate_spark.errors import InputError
from movierate_spark.features.events import events
from movierate_spark.features.history import (
    layouts,
    spread_by_user,
    with_movie_history,
    with_priors,
    with_user_history,
)
from movierate_spark.features.state import events_since, history_before, state_for
from movierate_spark.features.task_columns import GENRE_LIST
from movierate_spark.features.taste_tables import TasteTables
from movierate_spark.storage.lake import Lake
from movierate_spark.times import utc

SAMPLE_UNITS = 1_000_000


def feature_rows(
    lake: Lake,
    settings: FeatureSettings,
    *,
    min_rating: float,
    requests: DataFrame | None = None,
    tables: TasteTables | None = None,
    shares: int = 0,
) -> DataFrame:
    """Rows with history and attributes: a row per rating or, with ``requests``, a row per request only.

    ``requests`` have user_id, movie_id and ``at`` (not null); their other columns are kept. The rows also get
    ``user_known`` and ``movie_known``: whether there is any earlier rating; with ``tables``, also the taste
    columns, and with ``shares`` the ratings that add most to them.
    """
    by_user = rows_by_user(lake, settings, min_rating=min_rating, requests=requests)
    return complete_rows(by_user, lake.movies, settings, min_rating=min_rating, tables=tables, shares=shares)


def rows_by_user(
    lake: Lake, settings: FeatureSettings, *, min_rating: float, requests: DataFrame | None = None
) -> DataFrame:
    """What :func:`complete_rows` needs of :func:`feature_rows`, for use with several tables."""
    state = state_for(lake, settings, requests, min_rating=min_rating)
    if state is None:
        timeline = events(lake.ratings, has_re_ratings=lake.has_re_ratings)
    else:
        timeline = events_since(lake.ratings, state, has_re_ratings=lake.has_re_ratings)
    if requests is not None:
        marked = requests.withColumn("is_request", F.lit(True))
        timeline = timeline.withColumn("is_request", F.lit(False)).unionByName(
            marked, allowMissingColumns=True
        )
    before = None
    if state is not None and requests is not None:
        before = history_before(state, timeline, requests)
    task_layouts = layouts(timeline, settings, before=before)
    prior = with_priors(timeline, min_rating=min_rating, totals=state.daily_totals if state else None)
    of_people = with_attributes(prior, lake.users, "user_id")
    with_movie = with_movie_history(of_people, task_layouts, settings, min_rating=min_rating, before=before)
    of_movies = lake.movies.select("movie_id", F.to_json("genres").alias(GENRE_LIST), "year")
    attributed = with_attributes(with_movie, of_movies, "movie_id")
    return spread_by_user(attributed, task_layouts, settings, min_rating=min_rating)


def complete_rows(
    by_user: DataFrame,
    movies: DataFrame,
    settings: FeatureSettings,
    *,
    min_rating: float,
    tables: TasteTables | None = None,
    shares: int = 0,
) -> DataFrame:
    """The rows of :func:`feature_rows`, from those of :func:`rows_by_user` and the lake's movies."""
    history = with_user_history(by_user, settings, min_rating=min_rating, tables=tables, shares=shares)
    rows = with_attributes(history.drop("residual"), movies.select("movie_id", "genres"), "movie_id")
    return rows.withColumns({f"{side}_known": F.col(f"{side}_count") > 0 for side in ("user", "movie")})


def of_sampled_users(rows: DataFrame, fraction: float) -> DataFrame:
    """The rows of a fraction of all users, chosen by a hash of their id; all rows if it is 1 or more.

    A user's rows are all there or all left out, whatever the partitioning and the other users.
    """
    if fraction >= 1:
        return rows
    # Not the hash by which users are dealt to tasks: of some tasks no user would be left.
    place = F.pmod(F.xxhash64("user_id", F.lit("sample")), F.lit(SAMPLE_UNITS))
    return rows.where(place < F.lit(round(fraction * SAMPLE_UNITS)))


def with_attributes(rows: DataFrame, table: DataFrame, key: str) -> DataFrame:
    """Add the columns of ``users`` or ``movies``; null if the id is not in the table.

    The grain of ``rows`` stays the same, as the ids are unique there.
    """
    return rows.join(table, key, "left")


def labelled(rows: DataFrame, *, min_rating: float) -> DataFrame:
    """Add ``label``: 1.0 if the rating is a like, else 0.0."""
    return rows.withColumn("label", is_liked(F.col("rating"), min_rating=min_rating).cast("double"))


def before(lake: Lake, until: datetime | None) -> Lake:
    """The lake with only the ratings before ``until``; None means all ratings."""
    if until is None:
        return lake
    state = lake.state if lake.state and lake.state.until <= until else None
    return replace(lake, ratings=lake.ratings.where(F.col("rated_at") < F.lit(until)), state=state)


def as_of(lake: Lake, at: datetime | None) -> tuple[Lake, datetime]:
    """The lake with only the ratings before ``at``, and that time; None means the second after the last.

    Raises:
        InputError: there are no ratings before ``at``.
    """
    second = second_after_last(lake) if at is None else at
    known = before(lake, second)
    if known.ratings.isEmpty():
        raise InputError(f"{second.isoformat()}: there are no ratings before it", argument="at")
    return known, second


def second_after_last(lake: Lake) -> datetime:
    """The second (UTC) after the lake's last rating; as of it, all ratings are known."""
    last = lake.ratings.agg(F.max(F.unix_seconds("rated_at")).alias("last")).head()
    return utc((last["last"] if last else 0) + 1)
