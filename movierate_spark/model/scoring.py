"""From a lake and a bundle to probabilities: every job that scores uses this module."""

from __future__ import annotations

import operator
import warnings
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import quoted
from movierate_spark.errors import InputError, MovierateWarning
from movierate_spark.features.names import NUMBERS
from movierate_spark.features.rows import feature_rows, labelled, second_after_last
from movierate_spark.features.transformers import TasteFeatures
from movierate_spark.model.calibration import with_probability
from movierate_spark.model.reasons import NAMED_RATINGS, with_reasons
from movierate_spark.times import utc

if TYPE_CHECKING:
    from movierate_spark.features.taste_tables import TasteTables
    from movierate_spark.model.bundle import Bundle
    from movierate_spark.storage.lake import Lake

KEYS = ("user_id", "movie_id", "at")
OTHERS, OF_PAIR = "columns_of_pair", "of_pair_"
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

    ``pairs`` have user_id, movie_id and optionally ``at`` (UTC); none of them is null. Without ``at``, they
    are scored as of the second after the lake's last rating. Other columns are kept. The columns
    :data:`PREDICTED` are added:

    * ``logit``: the log odds before calibration; ``p_like``: the calibrated probability;
    * ``predicted_liked``: the decision at the bundle's threshold;
    * ``user_known``, ``movie_known``: whether they have any rating as of ``at``;
    * ``reasons``: the ``reasons`` largest contributions to the logit (:mod:`movierate_spark.model.reasons`);
    * ``model_version``: the bundle's version.

    Raises:
        InputError: the lake has other columns than those the bundle was fitted on, or the pairs have one of
            :data:`PREDICTED`.
    """
    others = [name for name in pairs.columns if name not in KEYS]
    if clashes := sorted(set(others) & set(PREDICTED)):
        raise InputError(f"pairs have {', '.join(clashes)}, which predict adds: rename them")
    # In a struct the pairs' own columns can't be taken for features: ratings often come with ``rating``.
    columns = (F.col(quoted(name)).alias(f"{OF_PAIR}{name}") for name in others)
    packed = F.struct(F.lit(True).alias("is_pair"), *columns).alias(OTHERS)
    now = None if "at" in pairs.columns else second_after_last(lake)
    requests = _with_keys(pairs, now).select(*KEYS, packed)
    rows = rows_for(bundle, lake, requests, shares=len(NAMED_RATINGS) if reasons else 0, since=now)
    explained = with_reasons(with_scores(bundle, rows), lake.movies, bundle.model, count=reasons)
    version = F.lit(bundle.version).alias("model_version")
    unpacked = [F.col(OTHERS)[f"{OF_PAIR}{name}"].alias(name) for name in others]
    return explained.select(*KEYS, *PREDICTED[:-1], version, *unpacked)


def rows_for(
    bundle: Bundle,
    lake: Lake,
    pairs: DataFrame | None = None,
    *,
    shares: int = 0,
    since: datetime | None = None,
) -> DataFrame:
    """The input of the bundle's pipeline: a row per pair, or without ``pairs`` per rating, with ``label``.

    With ``shares``, also the ratings that add most to the taste columns. ``since`` is the earliest time of
    the pairs; if it is None, they are read once more to find it.
    """
    min_rating = bundle.manifest.label.min_rating
    if pairs is not None and since is None and bundle.features.uses_taste:
        since = _first_time(pairs)
    tables = tables_for(bundle, lake, since=since)
    rows = feature_rows(
        lake, bundle.features, min_rating=min_rating, requests=pairs, tables=tables, shares=shares
    )
    return rows if pairs is not None else labelled(rows, min_rating=min_rating)


def _first_time(pairs: DataFrame) -> datetime | None:
    """The time (UTC) of the earliest pair; None without any."""
    row = pairs.agg(F.min(F.unix_seconds("at")).alias("first")).head()
    return None if row is None or row["first"] is None else utc(row["first"])


def tables_for(bundle: Bundle, lake: Lake, *, since: datetime | None) -> TasteTables | None:
    """The bundle's taste tables, for use in this lake with rows from ``since`` on (None: with all rows).

    None for a model without taste columns.

    They know movies by id. If fewer than half of their titled movies that the lake has, too, have the same
    title there, its ids mean other movies: tables without blocks are returned, so that the taste columns are
    0, with a warning.
    """
    tables = bundle.tables(since)
    if tables is None:
        return None
    named = [(int(i), title) for i, title in zip(tables.movie_id, tables.titles, strict=True) if title]
    of_bundle = lake.movies.sparkSession.createDataFrame(named, "movie_id long, known_as string")
    is_same = F.count_if(F.col("title") == F.col("known_as"))
    shared = lake.movies.join(F.broadcast(of_bundle), "movie_id").agg(F.count("*"), is_same).head()
    count, same = shared or (0, 0)
    if 2 * same >= count:
        return tables
    warnings.warn(
        f"{lake.path}: of the {count} movies that the model in {bundle.path} knows by their ids, {same} have"
        " the same title there, so ids mean other movies: neighbours and factors are not used. Train on this"
        " lake",
        MovierateWarning,
        stacklevel=2,
    )
    return tables.without_blocks()


def with_scores(bundle: Bundle, rows: DataFrame) -> DataFrame:
    """Add ``logit``, ``p_like`` and ``predicted_liked`` to the bundle's feature rows."""
    probable = with_probability(with_logit(bundle.transform(rows)), bundle.manifest.calibration)
    decision = is_predicted_liked(F.col("p_like"), decision_threshold=bundle.manifest.decision_threshold)
    return probable.withColumn("predicted_liked", decision)


def with_logit(predicted: DataFrame) -> DataFrame:
    """Replace Spark ML's prediction columns by ``logit``, the log odds before calibration."""
    logit = vector_to_array(F.col("rawPrediction"))[1]
    return predicted.withColumn("logit", logit).drop("rawPrediction", "probability", "prediction")


def taste_coefficients(bundle: Bundle) -> dict[str, float]:
    """The coefficient of each taste column, in log odds; empty for a model without these columns."""
    if not bundle.features.uses_taste:
        return {}
    slot = {name: place for place, name in enumerate(bundle.manifest.feature_names)}
    coefficients = bundle.model.coefficients.toArray()
    return {column: float(coefficients[slot[NUMBERS[column][0]]]) for column in TasteFeatures.OUTPUT}


def without_taste(bundle: Bundle) -> Column:
    """``logit`` less what the taste columns add to it, for rows with the pipeline's columns."""
    terms = (F.lit(value) * F.col(name) for name, value in taste_coefficients(bundle).items())
    return reduce(operator.sub, terms, F.col("logit"))


def is_predicted_liked(p_like: Column, *, decision_threshold: float) -> Column:
    """True if the probability is at least the bundle's threshold; null stays null."""
    return p_like >= F.lit(decision_threshold)


def _with_keys(pairs: DataFrame, now: datetime | None) -> DataFrame:
    """The pairs with a time, which is ``now`` if it is given; reading one fails if it lacks a key."""
    missing = {name: F.raise_error(F.lit(f"a pair without {name}")) for name in ("user_id", "movie_id")}
    pairs = pairs.withColumns({name: F.coalesce(name, error) for name, error in missing.items()})
    if now is not None:
        return pairs.withColumn("at", F.lit(now))
    untimed = F.raise_error(F.lit("a pair without a time: fill the column at, or leave it out"))
    return pairs.withColumn("at", F.coalesce(F.col("at").cast("timestamp"), untimed))
