"""Readable names of the feature vector's slots, and of the attributes that they are computed from."""

from __future__ import annotations

from pyspark.sql.types import StructType

from movierate_spark.columns import UNKNOWN
from movierate_spark.errors import MovierateError

FEATURES = "features"
CATEGORIES = ("gender", "age_group", "occupation", "zip3", "decade")
NUMBERS = {
    "hour_sin": ("hour of day (sine)", "hour of day"),
    "hour_cos": ("hour of day (cosine)", "hour of day"),
    "weekday_sin": ("weekday (sine)", "weekday"),
    "weekday_cos": ("weekday (cosine)", "weekday"),
    "month_sin": ("month (sine)", "month"),
    "month_cos": ("month (cosine)", "month"),
    "release_year": ("release year (decades since 2000)", "release year"),
    "release_year_squared": ("release year, squared", "release year"),
    "film_age": ("film age when rated (log of years)", "film age when rated"),
    "user_new": ("user: new", "user: number of ratings"),
    "user_log_count": ("user: earlier ratings (log)", "user: number of ratings"),
    "user_log_count_squared": ("user: earlier ratings (log), squared", "user: number of ratings"),
    "user_mean_difference": ("user: mean rating above all", "user: mean and like rate"),
    "user_log_odds": ("user: log odds of liking above all", "user: mean and like rate"),
    "user_log_odds_x_log_count": (
        "user: log odds of liking above all x log of ratings",
        "user: mean and like rate",
    ),
    "user_residual": ("user: ratings above the movies' means", "user: ratings above the movies' means"),
    "user_residual_x_log_count": (
        "user: ratings above the movies' means x log of ratings",
        "user: ratings above the movies' means",
    ),
    "user_recent_5": ("user: last 5 ratings above the movies' means", "user: last ratings"),
    "user_recent_20": ("user: last 20 ratings above the movies' means", "user: last ratings"),
    "user_recent_50": ("user: last 50 ratings above the movies' means", "user: last ratings"),
    "user_genre": ("user: taste for the movie's genres", "user: taste for the movie's genres"),
    "user_decade": ("user: taste for the movie's decade", "user: taste for the movie's decade"),
    "user_neighbours": ("user: ratings of the movie's neighbours", "user: ratings of similar movies"),
    "user_factors": ("user: taste factors", "user: taste for movies like this"),
    "taste_expected": ("user: expected rating in units of spread", "user: taste for movies like this"),
    "movie_new": ("movie: new", "movie: number of ratings"),
    "movie_log_count": ("movie: earlier ratings (log)", "movie: number of ratings"),
    "movie_log_count_squared": ("movie: earlier ratings (log), squared", "movie: number of ratings"),
    "movie_mean_difference": ("movie: mean rating above all", "movie: mean and like rate"),
    "movie_mean_difference_x_log_count": (
        "movie: mean rating above all x log of ratings",
        "movie: mean and like rate",
    ),
    "movie_log_odds": ("movie: log odds of being liked above all", "movie: mean and like rate"),
    "gender_movie": (
        "movie: rated above its mean by the user's gender",
        "movie: ratings by the user's gender",
    ),
    "age_group_movie": (
        "movie: rated above its mean by the user's age group",
        "movie: ratings by the user's age group",
    ),
    "occupation_movie": (
        "movie: rated above its mean by the user's occupation",
        "movie: ratings by the user's occupation",
    ),
}
"""For each numeric feature: its readable name and its source attribute, which may have several features."""
FAMILIES = {
    "people": (
        "gender",
        "age",
        "occupation",
        "zip3",
        "movie: ratings by the user's gender",
        "movie: ratings by the user's age group",
        "movie: ratings by the user's occupation",
    ),
    "genres and release": ("genre", "decade", "release year", "film age when rated"),
    "calendar": ("hour of day", "weekday", "month"),
    "user's means": (
        "user: number of ratings",
        "user: mean and like rate",
        "user: ratings above the movies' means",
        "user: last ratings",
    ),
    "movie's means": ("movie: number of ratings", "movie: mean and like rate"),
    "user's genres and decades": (
        "user: taste for the movie's genres",
        "user: taste for the movie's decade",
    ),
    "neighbours": ("user: ratings of similar movies",),
    "factors": ("user: taste for movies like this",),
}
"""Source attributes that belong together; each is in one family."""
_CATEGORY_OF_COLUMN = {**{f"{name}_vector": name for name in CATEGORIES}, "genre": "genre"}
_SHORT = {"age_group": "age"}


def feature_names(schema: StructType) -> list[str]:
    """A readable name for each slot of ``features``, in order, from the column's metadata.

    Examples: ``occupation=college/grad student``, ``genre=Film-Noir``, ``film age when rated (log of
    years)``.

    Raises:
        MovierateError: a slot has no name in this module.
    """
    return [_name_and_source(slot)[0] for slot in _slots(schema)]


def feature_sources(schema: StructType) -> list[str]:
    """The readable name of the source attribute of each slot of ``features``, in order.

    Examples: ``gender``, ``genre``, ``release year``, ``user: last ratings``. Several slots may have the same
    source.

    Raises:
        MovierateError: a slot has no name in this module.
    """
    return [_name_and_source(slot)[1] for slot in _slots(schema)]


def _slots(schema: StructType) -> list[str]:
    groups = schema[FEATURES].metadata["ml_attr"]["attrs"].values()
    slots = {attribute["idx"]: attribute["name"] for group in groups for attribute in group}
    return [slots[i] for i in range(len(slots))]


def _name_and_source(slot: str) -> tuple[str, str]:
    if slot in NUMBERS:
        return NUMBERS[slot]
    for column, category in _CATEGORY_OF_COLUMN.items():
        if slot.startswith(f"{column}_"):
            value, name = slot.removeprefix(f"{column}_"), _SHORT.get(category, category)
            return f"{name}={UNKNOWN if value == '__unknown' else value}", name
    raise MovierateError(f"feature {slot}: movierate_spark/features/names.py has no name for it")
