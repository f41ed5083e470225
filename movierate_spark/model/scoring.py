"""From a lake and a bundle to probabilities: every job that scores uses this module."""

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
    """The pairs with how likely the user is to like the movie: a row per pair, also for repeated pairs.

    ``pairs`` have user_id, movie_id and optionally ``at`` (UTC, not null). Without ``at``, they are scored as
    of the second after the lake's last rating. Other columns are kept. The columns :data:`PREDICTED` are
    added:

    * ``logit``: the log odds before calibration; ``p_like``: the calibrated probability;
    * ``predicted_liked``: the decision at the bundle's threshold;
    * ``user_known``, ``movie_known``: whether they have any rating as of ``at``;
    * ``reasons``: the ``reasons`` largest contributions to the logit (:mod:`movierate_spark.model.reasons`);
    * ``model_version``: the bundle's version.

    Raises:
        InputError: the lake has other columns than those the bundle was fitted on.
    """
    scored = with_scores(bundle, rows_for(bundle, lake, _with_time(pairs, lake)))
    explained = with_reasons(scored, bundle.model, count=reasons)
    other_columns = [name for name in pairs.columns if name not in ("user_id", "movie_id", "at")]
    version = F.lit(bundle.version).alias("model_version")
    return explained.select("user_id", "movie_id", "at", *PREDICTED[:-1], version, *other_columns)


def rows_for(bundle: Bundle, lake: Lake, pairs: DataFrame | None = None) -> DataFrame:
    """The input of the bundle's pipeline: a row per pair, or without ``pairs`` per rating, with ``label``."""
    min_rating = bundle.manifest.label.min_rating
    rows = feature_rows(lake, bundle.features, min_rating=min_rating, requests=pairs, tables=bundle.tables)
    return rows if pairs is not None else labelled(rows, min_rating=min_rating)


def with_scores(bundle: Bundle, rows: DataFrame) -> DataFrame:
    """Add ``logit``, ``p_like`` and ``predicted_liked`` to the bundle's feature rows."""
    probable = with_probability(with_logit(bundle.transform(rows)), bundle.manifest.calibration)
    decision = is_predicted_liked(F.col("p_like"), decision_threshold=bundle.manifest.decision_threshold)
    return probable.withColumn("predicted_liked", decision)


def with_logit(predicted: DataFrame) -> DataFrame:
    """Replace Spark ML's prediction columns by ``logit``, the log odds before calibration."""
    logit = vector_to_array(F.col("rawPrediction"))[1]
    return predicted.withColumn("logit", logit).drop("rawPrediction", "probability", "prediction")


def is_predicted_liked(p_like: Column, *, decision_threshold: float) -> Column:
    """True if the probability is at least the bundle's threshold; null stays null."""
    return p_like >= F.lit(decision_threshold)


def _with_time(pairs: DataFrame, lake: Lake) -> DataFrame:
    if "at" not in pairs.columns:
        return pairs.withColumn("at", F.lit(second_after_last(lake)))
    missing = F.raise_error(F.lit("a pair without a time: fill the column at, or leave it out"))
    return pairs.withColumn("at", F.coalesce(F.col("at").cast("timestamp"), missing))
