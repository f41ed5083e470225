"""The feature pipeline, built unfitted in this one place, and the names of its slots."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyspark.ml import Estimator, Pipeline, Transformer
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.sql.types import StructType

from movierate_spark.config import FeatureSettings
from movierate_spark.features.transformers import (
    UNKNOWN,
    CalendarCycles,
    HistoryFeatures,
    MultiHot,
    RareLevels,
    ReleaseFeatures,
)

FEATURES = "features"
CATEGORIES = ("gender", "age_group", "occupation", "zip3", "decade")
CYCLE_NAMES = {"hour": "hour of day", "weekday": "weekday", "month": "month"}
NAMES = {
    "hour_sin": "hour of day (sine)",
    "hour_cos": "hour of day (cosine)",
    "weekday_sin": "weekday (sine)",
    "weekday_cos": "weekday (cosine)",
    "month_sin": "month (sine)",
    "month_cos": "month (cosine)",
    "release_year": "release year (decades since 2000)",
    "release_year_squared": "release year, squared",
    "film_age": "film age when rated (log of years)",
    "user_new": "user: new",
    "user_log_count": "user: earlier ratings (log)",
    "user_log_count_squared": "user: earlier ratings (log), squared",
    "user_lift": "user: mean rating above all",
    "user_odds": "user: log odds of liking above all",
    "user_odds_x_log_count": "user: log odds of liking above all x log of ratings",
    "user_residual": "user: ratings above the movies' means",
    "user_residual_x_log_count": "user: ratings above the movies' means x log of ratings",
    "user_recent_5": "user: last 5 ratings above the movies' means",
    "user_recent_20": "user: last 20 ratings above the movies' means",
    "user_recent_50": "user: last 50 ratings above the movies' means",
    "user_genre": "user: taste for the movie's genres",
    "user_decade": "user: taste for the movie's decade",
    "movie_new": "movie: new",
    "movie_log_count": "movie: earlier ratings (log)",
    "movie_log_count_squared": "movie: earlier ratings (log), squared",
    "movie_lift": "movie: mean rating above all",
    "movie_lift_x_log_count": "movie: mean rating above all x log of ratings",
    "movie_odds": "movie: log odds of being liked above all",
    "gender_movie": "movie: rated above its mean by the user's gender",
    "age_group_movie": "movie: rated above its mean by the user's age group",
    "occupation_movie": "movie: rated above its mean by the user's occupation",
}
PREFIXES = {"age_group": "age"}
SOURCES = {
    **{f"{cycle}_{part}": name for cycle, name in CYCLE_NAMES.items() for part in ("sin", "cos")},
    **dict.fromkeys(("release_year", "release_year_squared"), "release year"),
    "film_age": "film age when rated",
    **dict.fromkeys(("user_new", "user_log_count", "user_log_count_squared"), "user: number of ratings"),
    **dict.fromkeys(("user_lift", "user_odds", "user_odds_x_log_count"), "user: mean and like rate"),
    **dict.fromkeys(("user_residual", "user_residual_x_log_count"), "user: ratings above the movies' means"),
    **dict.fromkeys(("user_recent_5", "user_recent_20", "user_recent_50"), "user: last ratings"),
    "user_genre": "user: taste for the movie's genres",
    "user_decade": "user: taste for the movie's decade",
    **dict.fromkeys(("movie_new", "movie_log_count", "movie_log_count_squared"), "movie: number of ratings"),
    **dict.fromkeys(("movie_lift", "movie_lift_x_log_count", "movie_odds"), "movie: mean and like rate"),
    "gender_movie": "movie: ratings by the user's gender",
    "age_group_movie": "movie: ratings by the user's age group",
    "occupation_movie": "movie: ratings by the user's occupation",
}


def uses_month(setting: str, first: datetime, last: datetime) -> bool:
    """Whether the month is a feature: a cycle not seen twice is a date in disguise."""
    return setting == "always" or (setting == "auto" and (last - first).days >= 2 * 365)


def feature_pipeline(settings: FeatureSettings, *, with_month: bool) -> Pipeline:
    """The unfitted pipeline from joined rows (with history) to the vector ``features``.

    It reads ``at``, the attributes of users and movies, ``user_id`` and ``movie_id`` (to count who has a rare
    value; no id is a feature) and the columns of :mod:`movierate_spark.features.history`.
    """
    calendar = CalendarCycles(inputCol="at", cycles=["hour", "weekday"] + ["month"] * with_month)
    zips = RareLevels(
        inputCol="zip3", outputCol="zip3_pooled", unitCol="user_id", minUnits=settings.zip3_min_users
    )
    genres = MultiHot(
        inputCol="genres", outputCol="genre", unitCol="movie_id", minUnits=settings.genre_min_movies
    )
    texts = ["zip3_pooled" if name == "zip3" else name for name in CATEGORIES]
    indexed = [f"{name}_index" for name in CATEGORIES]
    encoded = [f"{name}_vector" for name in CATEGORIES]
    history: list[Transformer] = [HistoryFeatures()] if settings.history else []
    numbers = [*calendar.output_columns(), *ReleaseFeatures.OUTPUT]
    numbers += HistoryFeatures.OUTPUT if settings.history else ()
    stages: list[Estimator[Any] | Transformer] = [
        calendar,
        ReleaseFeatures(inputCols=["at", "year"]),
        *history,
        zips,
        StringIndexer(
            inputCols=texts, outputCols=indexed, handleInvalid="keep", stringOrderType="alphabetAsc"
        ),
        # Unknown keeps a slot of its own, and so an honest coefficient where training has seen it.
        OneHotEncoder(inputCols=indexed, outputCols=encoded, dropLast=False),
        genres,
        VectorAssembler(inputCols=[*encoded, "genre", *numbers], outputCol=FEATURES),
    ]
    return Pipeline(stages=stages)


def feature_names(schema: StructType) -> list[str]:
    """A name a person understands for each slot of ``features``, from the column's metadata.

    ``occupation=college/grad student``, ``genre=Film-Noir``, ``film age when rated (log of years)``.
    """
    return [_readable(slot) for slot in _slots(schema)]


def feature_sources(schema: StructType) -> list[str]:
    """The attribute that each slot of ``features`` is made from, in words a person understands.

    ``gender``, ``genre``, ``release year``, ``user: last ratings``: fewer than names, as an attribute may
    have several slots.
    """
    return [SOURCES.get(slot) or _readable(slot).partition("=")[0] for slot in _slots(schema)]


def _slots(schema: StructType) -> list[str]:
    groups = schema[FEATURES].metadata["ml_attr"]["attrs"].values()
    slots = {attribute["idx"]: attribute["name"] for group in groups for attribute in group}
    return [slots[i] for i in range(len(slots))]


def _readable(slot: str) -> str:
    if slot in NAMES:
        return NAMES[slot]
    for column, attribute in {**{f"{name}_vector": name for name in CATEGORIES}, "genre": "genre"}.items():
        if slot.startswith(f"{column}_"):
            value = slot.removeprefix(f"{column}_")
            return f"{PREFIXES.get(attribute, attribute)}={UNKNOWN if value == '__unknown' else value}"
    return slot
