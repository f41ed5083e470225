"""What each family of columns is worth: the same model, fitted again without them."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import Any

import numpy as np
from pyspark.ml.feature import VectorSlicer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL
from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.evaluation import bootstrap
from movierate_spark.evaluation.metrics import difference, metrics_by
from movierate_spark.features.names import FAMILIES, FEATURES, feature_sources
from movierate_spark.features.rows import before, of_sampled_users
from movierate_spark.model.bundle import Bundle
from movierate_spark.model.calibration import NONE, with_probability
from movierate_spark.model.logistic_regression import laid_out, logistic_regression, start_of
from movierate_spark.model.scoring import rows_for, with_logit
from movierate_spark.progress import Progress
from movierate_spark.session import persisted
from movierate_spark.storage.lake import Lake

COMPARED = ("auc", "log_loss", "accuracy")
ALL_THAT_RATINGS_TELL = "all that ratings tell"
TOGETHER = {
    "neighbours and factors": ("neighbours", "factors"),
    ALL_THAT_RATINGS_TELL: (
        "user's means",
        "movie's means",
        "user's genres and decades",
        "neighbours",
        "factors",
        *(source for source in FAMILIES["people"] if source.startswith("movie: ratings by")),
    ),
}
"""Families, or single source attributes, that are left out together: each can stand in for another."""
NOTHING = "nothing"


def ablation(
    lake: Lake, bundle: Bundle, unseen: DataFrame, settings: Settings, progress: Progress
) -> list[dict[str, Any]]:
    """The bundle's model, fitted again without each family of columns: an entry per family, and the whole.

    The models are fitted on the ratings that the bundle's was fitted on, with its penalty, and start from its
    coefficients. They are measured on ``unseen``, the bundle's predictions for ratings after it, before
    calibration. An entry has ``without``, the number of ``features`` that are left, ``seconds`` for the fit,
    ``auc``, ``log_loss`` and ``accuracy``. ``difference`` is the whole model's metric minus this one's, and
    ``difference_intervals`` its 95% intervals, by a bootstrap over users.

    Raises:
        InputError: the lake does not have the ratings that the bundle's model was fitted on.
    """
    training = bundle.manifest.training
    fraction = training.user_fraction
    fitted_until = datetime.fromisoformat(training.fitted_until)
    rows = of_sampled_users(rows_for(bundle, before(lake, fitted_until)), fraction)
    seen = bundle.transform(rows).select("user_id", "movie_id", "at", FEATURES, LABEL)
    expected = round(lake.ledger.tables["ratings"].accepted * fraction)
    sources = feature_sources(seen.schema)
    variants = {name: slots for name, slots in _variants(sources).items() if slots}
    fits: dict[str, dict[str, Any]] = {}
    predicted = []
    rows = laid_out(seen, partitions=settings.train.partitions, expected=expected)
    with persisted(rows) as vectors:
        with progress.step("features of the ratings before the end of training"):
            if not vectors.count():
                raise InputError(
                    f"{lake.path}: no ratings before {fitted_until.isoformat()} of the users that the model"
                    f" in {bundle.path} was fitted on: an ablation fits it again on these"
                )
        with progress.steps("ablation", len(variants)) as advance:
            for name, slots in variants.items():
                begun = time.perf_counter()
                measured = _fitted_without(bundle, vectors, unseen, slots, settings)
                fits[name] = {"features": len(slots), "seconds": time.perf_counter() - begun}
                predicted.append(measured.withColumn("model", F.lit(name)))
                advance()
    with progress.step("metrics of the ablation"):
        return _compared(fits, reduce(DataFrame.unionByName, predicted), settings)


def _variants(sources: Sequence[str]) -> dict[str, list[int]]:
    """The slots that each model keeps, by what it is without; only families that the model has."""
    every = list(range(len(sources)))
    left_out = {name: FAMILIES[name] for name in FAMILIES} | {
        name: tuple(source for part in parts for source in FAMILIES.get(part, (part,)))
        for name, parts in TOGETHER.items()
    }
    slots = {name: _without(sources, names) for name, names in left_out.items()}
    return {NOTHING: every} | {name: left for name, left in slots.items() if left != every}


def _without(sources: Sequence[str], left_out: Collection[str]) -> list[int]:
    return [slot for slot, source in enumerate(sources) if source not in left_out]


def _fitted_without(
    bundle: Bundle, seen: DataFrame, unseen: DataFrame, slots: list[int], settings: Settings
) -> DataFrame:
    """The predictions of a model with some of the slots only."""
    slicer = VectorSlicer(inputCol=FEATURES, outputCol="sliced", indices=slots)

    def sliced(rows: DataFrame) -> DataFrame:
        return slicer.transform(rows).drop(FEATURES).withColumnRenamed("sliced", FEATURES)

    names = bundle.manifest.feature_names
    start = start_of(bundle.model).for_slots(names, [names[slot] for slot in slots])
    estimator = logistic_regression(settings.train, **bundle.manifest.params)
    model = estimator.fit_from(start, sliced(seen))
    rows = unseen.select("user_id", LABEL, FEATURES)
    probable = with_probability(with_logit(model.transform(sliced(rows))), NONE)
    return probable.select(
        "user_id", LABEL, F.col("p_like").alias("probability"), F.lit(0.5).alias("decision_threshold")
    )


def _compared(
    fits: Mapping[str, dict[str, Any]], predicted: DataFrame, settings: Settings
) -> list[dict[str, Any]]:
    metrics = {each["model"]: each for each in metrics_by(predicted, "model")}
    options = settings.evaluate
    resampled = bootstrap.resampled_metrics(predicted, resamples=options.resamples, seed=options.seed)
    entries = []
    for name, described in fits.items():
        gained = {metric: difference(metrics[NOTHING][metric], metrics[name][metric]) for metric in COMPARED}
        intervals = {
            metric: bootstrap.interval(
                metric,
                resampled[NOTHING][metric] - resampled[name][metric] if resampled else np.array([]),
                point=gained[metric],
                signed=True,
            )
            for metric in COMPARED
        }
        entries.append(
            {
                "without": name,
                **described,
                **{metric: metrics[name][metric] for metric in COMPARED},
                "difference": gained,
                "difference_intervals": intervals,
            }
        )
    return entries
