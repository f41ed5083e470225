"""The one way from a lake and a bundle to probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.features.rows import feature_rows, labelled, second_after_last
from movierate_spark.model.calibration import with_probability
from movierate_spark.model.reasons import with_reasons

if TYPE_CHECKING:
    from movierate_spark.model.bundle import Bundle
    from movierate_spark.storage.lake import Lake

PREDICTED = (
    "logit",
    "p_like",
    "predicted_liked",
    "user_known",
    "movie_known",
    "reasons",
    "model_version",
)


def predict(bundle: Bundle, lake: Lake, pairs: DataFrame, *, reasons: int) -> DataFrame:
    """The pairs with how likely the user is to like the movie: a row for each, repeated ones too.

    ``pairs`` have user_id, movie_id and, if wanted, ``at`` (UTC, never null; without it they are as of the
    second after the lake's last rating); other columns stay. :data:`PREDICTED` are added: ``logit`` are the
    log odds before calibration, ``p_like`` is the calibrated probability, ``predicted_liked`` the decision at
    the bundle's threshold, ``user_known`` and ``movie_known`` whether they have any rating as of ``at``, and
    ``reasons`` the ``reasons`` largest contributions to the logit (:mod:`movierate_spark.model.reasons`).

    Raises:
        InputError: the lake has other columns than the bundle was fitted on.
    """
    scored = with_scores(bundle, rows_for(bundle, lake, _with_time(pairs, lake)))
    explained = with_reasons(scored, bundle.model, count=reasons)
    own = [name for name in pairs.columns if name not in ("user_id", "movie_id", "at")]
    version = F.lit(bundle.version).alias("model_version")
    return explained.select("user_id", "movie_id", "at", *PREDICTED[:-1], version, *own)


def rows_for(bundle: Bundle, lake: Lake, pairs: DataFrame | None = None) -> DataFrame:
    """What the bundle's pipeline reads: a row for each of ``pairs``, or each rating with its ``label``."""
    min_rating = bundle.manifest.label.min_rating
    rows = feature_rows(lake, bundle.features, min_rating=min_rating, asked=pairs)
    return rows if pairs is not None else labelled(rows, min_rating=min_rating)


def with_scores(bundle: Bundle, rows: DataFrame) -> DataFrame:
    """Add ``logit``, ``p_like`` and ``predicted_liked`` to the bundle's feature rows."""
    probable = with_probability(with_logit(bundle.transform(rows)), bundle.manifest.calibration)
    decision = is_predicted_liked(F.col("p_like"), decision_threshold=bundle.manifest.decision_threshold)
    return probable.withColumn("predicted_liked", decision)


def with_logit(predicted: DataFrame) -> DataFrame:
    """Replace Spark ML's prediction columns by ``logit``, the log odds of liked before calibration."""
    logit = vector_to_array(F.col("rawPrediction"))[1]
    return predicted.withColumn("logit", logit).drop("rawPrediction", "probability", "prediction")


def is_predicted_liked(p_like: Column, *, decision_threshold: float) -> Column:
    """Whether the probability reaches the bundle's threshold."""
    return p_like >= F.lit(decision_threshold)


def _with_time(pairs: DataFrame, lake: Lake) -> DataFrame:
    if "at" not in pairs.columns:
        return pairs.withColumn("at", F.lit(second_after_last(lake)))
    missing = F.raise_error(F.lit("a pair without a time: fill the column at, or leave it out"))
    return pairs.withColumn("at", F.coalesce(F.col("at").cast("timestamp"), missing))
