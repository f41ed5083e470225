"""One row per rating or request, with what is known of its user and its movie."""

from __future__ import annotations

from pyspark.sql import DataFrame


def with_attributes(rows: DataFrame, users: DataFrame, movies: DataFrame) -> DataFrame:
    """Add the user's and the movie's attributes, null where the id is not in its table.

    The grain stays that of ``rows``: ``user_id`` and ``movie_id`` are unique in their tables.
    """
    return rows.join(users, "user_id", "left").join(movies.drop("title"), "movie_id", "left")
