"""The one way from the lake to the rows that a feature pipeline reads."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import is_liked
from movierate_spark.config import FeatureSettings
from movierate_spark.features.events import events
from movierate_spark.features.history import layouts, with_history, with_priors
from movierate_spark.storage.lake import Lake
from movierate_spark.times import utc


def feature_rows(
    opened: Lake, settings: FeatureSettings, *, min_rating: float, asked: DataFrame | None = None
) -> DataFrame:
    """Rows with history and attributes: every rating, or, where ``asked`` is given, its rows only.

    The one way from the lake to the feature pipeline. ``asked`` has user_id, movie_id and at, and may have
    columns of its own, which stay.
    """
    timeline = events(opened.ratings, has_re_ratings=opened.has_re_ratings)
    if asked is not None:
        requests = asked.withColumn("asked", F.lit(True))
        timeline = timeline.withColumn("asked", F.lit(False)).unionByName(requests, allowMissingColumns=True)
    laid = layouts(timeline, settings)
    known_then = with_priors(timeline, min_rating=min_rating)
    described = with_attributes(known_then, opened.users, opened.movies)
    history = with_history(described, laid, settings, min_rating=min_rating)
    rows = history if asked is None else history.where("asked").drop("asked")
    return rows.withColumns({f"{side}_known": F.col(f"{side}_count") > 0 for side in ("user", "movie")})


def with_attributes(rows: DataFrame, users: DataFrame, movies: DataFrame) -> DataFrame:
    """Add the user's and the movie's attributes, null where the id is not in its table.

    The grain stays that of ``rows``: ``user_id`` and ``movie_id`` are unique in their tables.
    """
    return rows.join(users, "user_id", "left").join(movies.drop("title"), "movie_id", "left")


def labelled(rows: DataFrame, *, min_rating: float) -> DataFrame:
    """Add ``label``: 1.0 for liked, 0.0 for not."""
    return rows.withColumn("label", is_liked(F.col("rating"), min_rating=min_rating).cast("double"))


def before(opened: Lake, until: datetime | None) -> Lake:
    """The lake without the ratings from ``until`` on."""
    if until is None:
        return opened
    return Lake(**{**vars(opened), "ratings": opened.ratings.where(F.col("rated_at") < F.lit(until))})


def second_after_last(opened: Lake) -> datetime:
    """The first second (UTC) as of which all of the lake's ratings are known."""
    last = opened.ratings.agg(F.max(F.unix_seconds("rated_at")).alias("last")).head()
    return utc((last["last"] if last else 0) + 1)
