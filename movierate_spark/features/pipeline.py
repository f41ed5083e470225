"""The unfitted feature pipeline."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyspark.ml import Estimator, Pipeline, Transformer
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler

from movierate_spark.config import FeatureSettings
from movierate_spark.features.names import CATEGORIES, FEATURES
from movierate_spark.features.transformers import (
    CalendarCycles,
    HistoryFeatures,
    MultiHot,
    RareLevels,
    ReleaseFeatures,
    TasteFeatures,
)


def uses_month(setting: str, first: datetime, last: datetime) -> bool:
    """Whether the month is a feature: with less than two years of data, a month is just a date."""
    return setting == "always" or (setting == "auto" and (last - first).days >= 2 * 365)


def feature_pipeline(settings: FeatureSettings, *, with_month: bool) -> Pipeline:
    """The unfitted pipeline from feature rows to the vector ``features``.

    It reads ``at``, the attributes of users and movies, the columns of
    :mod:`movierate_spark.features.history`, and ``user_id`` and ``movie_id``. The ids are no features: they
    are used to count users and movies with a rare value.
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
    history += [TasteFeatures()] if settings.uses_taste else []
    numbers = [*calendar.output_columns(), *ReleaseFeatures.OUTPUT]
    numbers += HistoryFeatures.OUTPUT if settings.history else ()
    numbers += TasteFeatures.OUTPUT if settings.uses_taste else ()
    stages: list[Estimator[Any] | Transformer] = [
        calendar,
        ReleaseFeatures(inputCols=["at", "year"]),
        *history,
        zips,
        StringIndexer(
            inputCols=texts, outputCols=indexed, handleInvalid="keep", stringOrderType="alphabetAsc"
        ),
        # Unknown has its own slot, so that its coefficient is learnt from the training data.
        OneHotEncoder(inputCols=indexed, outputCols=encoded, dropLast=False),
        genres,
        VectorAssembler(inputCols=[*encoded, "genre", *numbers], outputCol=FEATURES),
    ]
    return Pipeline(stages=stages)
