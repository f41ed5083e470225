"""The cost of leakage: the same model, measured with and without information from the future."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL
from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.evaluation.metrics import metrics_by
from movierate_spark.features.names import FEATURES
from movierate_spark.features.pipeline import feature_pipeline
from movierate_spark.features.rows import labelled, of_sampled_users, second_after_last
from movierate_spark.model.bundle import Bundle
from movierate_spark.model.calibration import NONE, with_probability
from movierate_spark.model.logistic_regression import laid_out, logistic_regression
from movierate_spark.model.scoring import rows_for, with_logit
from movierate_spark.progress import Progress
from movierate_spark.session import persisted
from movierate_spark.storage.lake import Lake

BUCKETS = 1_000_000


def leakage_cost(
    lake: Lake, bundle: Bundle, since: datetime, settings: Settings, progress: Progress
) -> dict[str, Any]:
    """Metrics of the bundle's model, fitted again in four ways: split -> history -> metrics.

    ``time_split`` measures the ratings from ``since`` on. ``random_split`` measures an equal share of all
    ratings, chosen by a hash of user and movie. The history ``as_of`` uses only earlier seconds.
    ``looking_ahead`` uses all ratings, also later ones and the row's own. Only ``time_split`` with ``as_of``
    shows how the model will do on new ratings. The rows are those of the users that the bundle's
    model was fitted on.

    Raises:
        InputError: these users have no ratings before ``since``, or none from then on.
    """
    histories = {"as_of": rows_for(bundle, lake), "looking_ahead": _looking_ahead(lake, bundle)}
    panel: dict[str, Any] = {"time_split": {}, "random_split": {}}
    fraction = bundle.manifest.training.user_fraction
    expected = round(lake.ledger.tables["ratings"].accepted * fraction)
    for history, rows in histories.items():
        with progress.step(f"leakage cost: history {history.replace('_', ' ')}"):
            of_users = of_sampled_users(rows, fraction)
            rows = laid_out(of_users, partitions=settings.train.partitions, expected=expected)
            with persisted(rows) as cached:
                for split, unseen in _splits(cached, since).items():
                    panel[split][history] = _fit_and_measure(cached, unseen, bundle, settings)
    return panel


def _looking_ahead(lake: Lake, bundle: Bundle) -> DataFrame:
    """Every rating, with its history as of the second after the last rating."""
    end = second_after_last(lake)
    pairs = lake.ratings.select("user_id", "movie_id").distinct().withColumn("at", F.lit(end))
    history = rows_for(bundle, lake, pairs, since=end)
    rated = lake.ratings.withColumnRenamed("rated_at", "at")
    rows = history.drop("at", "rating").join(rated, ["user_id", "movie_id"])
    return labelled(rows, min_rating=bundle.manifest.label.min_rating)


def _splits(rows: DataFrame, since: datetime) -> dict[str, Column]:
    late = F.col("at") >= F.lit(since)
    row = rows.agg(F.avg(late.cast("double")).alias("share")).head()
    bucket = F.pmod(F.xxhash64("user_id", "movie_id"), F.lit(BUCKETS))
    chosen = bucket < F.lit(int((row["share"] or 0) * BUCKETS) if row else 0)
    splits = {"time_split": late, "random_split": chosen}
    for unseen in splits.values():
        if rows.where(unseen).isEmpty() or rows.where(~unseen).isEmpty():
            raise InputError(
                f"{since.isoformat()}: the cost of leakage needs more ratings before or after it, of the"
                " users that the model was fitted on",
                argument="since",
            )
    return splits


def _fit_and_measure(rows: DataFrame, unseen: Column, bundle: Bundle, settings: Settings) -> dict[str, Any]:
    manifest = bundle.manifest
    seen = rows.where(~unseen)
    features = feature_pipeline(bundle.features, with_month=manifest.with_month).fit(seen)
    with persisted(features.transform(seen).select(FEATURES, LABEL)) as vectors:
        model = logistic_regression(settings.train, **manifest.params).fit(vectors)
    predicted = with_logit(PipelineModel([*features.stages, model]).transform(rows.where(unseen)))
    probabilities = with_probability(predicted, NONE).select(
        F.lit("all").alias("all"),
        LABEL,
        F.col("p_like").alias("probability"),
        F.lit(0.5).alias("decision_threshold"),
    )
    return {name: value for name, value in metrics_by(probabilities, "all")[0].items() if name != "all"}
