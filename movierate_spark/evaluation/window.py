"""The ratings that a model is evaluated on, and its predictions for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from movierate_spark.errors import InputError
from movierate_spark.model.bundle import Bundle
from movierate_spark.model.scoring import rows_for, with_scores
from movierate_spark.storage.lake import Lake


@dataclass(frozen=True)
class EvaluationWindow:
    """The ratings to evaluate: made from ``since`` on and before ``until``.

    Only ratings before which the user has at least ``min_user_history`` others are used, in the order
    (rated_at, movie_id). ``allow_overlap`` allows ratings that the model was trained on.

    Raises:
        InputError: ``until`` is not after ``since``.
    """

    since: datetime
    until: datetime | None = None
    min_user_history: int = 0
    allow_overlap: bool = False

    def __post_init__(self) -> None:
        if self.until is not None and self.until <= self.since:
            raise InputError(
                f"{self.until.isoformat()} is not after the beginning, {self.since.isoformat()}",
                argument="until",
            )

    def described(self) -> dict[str, Any]:
        """The fields of ``metrics.json``; times in ISO 8601."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat() if self.until else None,
            "min_user_history": self.min_user_history,
        }


def check_models(window: EvaluationWindow, bundle: Bundle, other: Bundle | None) -> bool:
    """Whether a model was trained on ratings of the window.

    Raises:
        InputError: one was, and the window doesn't allow it; or the models define liked differently.
    """
    overlap = _check_unseen(window, bundle)
    if other is not None:
        overlap |= _check_unseen(window, other)
        _check_same_label(bundle, other)
    return overlap


def _check_unseen(window: EvaluationWindow, bundle: Bundle) -> bool:
    overlap = window.since < bundle.training_end
    if overlap and not window.allow_overlap:
        raise InputError(
            f"{window.since.isoformat()}: the model in {bundle.path} has seen ratings up to"
            f" {bundle.training_end.isoformat()}; take a later time, train up to an earlier one, or allow"
            " overlap",
            argument="since",
        )
    return overlap


def _check_same_label(bundle: Bundle, other: Bundle) -> None:
    mine, theirs = (each.manifest.label.min_rating for each in (bundle, other))
    if mine != theirs:
        raise InputError(f"{other.path}: it calls {theirs:g} stars liked, {bundle.path} {mine:g}")


def predictions(lake: Lake, bundle: Bundle, window: EvaluationWindow) -> DataFrame:
    """The ratings of the window with label, attributes, history and the bundle's predictions."""
    rows = rows_for(bundle, lake)
    if window.min_user_history:
        rows = _with_user_history(rows, at_least=window.min_user_history)
    return with_scores(bundle, rows.where(F.col("at") >= F.lit(window.since)))


def _with_user_history(rows: DataFrame, *, at_least: int) -> DataFrame:
    order = Window.partitionBy("user_id").orderBy("at", "movie_id")
    earlier = rows.withColumn("earlier", F.row_number().over(order) - 1)
    return earlier.where(F.col("earlier") >= at_least).drop("earlier")


def predictions_table(predicted: DataFrame, bundle: Bundle) -> DataFrame:
    """The columns of :data:`movierate_spark.schemas.PREDICTIONS`, a row per rating of the window."""
    return predicted.select(
        "user_id",
        "movie_id",
        "at",
        "rating",
        F.col("label").cast("boolean").alias("liked"),
        "logit",
        "p_like",
        "predicted_liked",
        "user_known",
        "movie_known",
        F.lit(bundle.version).alias("model_version"),
    )
