"""``bundle.json``: a bundle's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from movierate_spark.config import FeatureSettings, LabelSettings
from movierate_spark.storage.documents.document import Document, Part
from movierate_spark.storage.documents.metrics import Measurement


class TrainingInterval(Part):
    """The ratings a model was trained, tuned and tested on; times in ISO 8601, ends exclusive.

    ``rows`` are those it was fitted on: those before ``fitted_until``, of all users or of a
    ``user_fraction`` of them.
    Bundles of before ``train.max_rows`` have all, and no ``ratings``.
    """

    from_: str = Field(alias="from")
    until: str
    rows: int
    ratings: int | None = None
    user_fraction: float = 1.0
    refit: bool
    tune_from: str
    test_from: str
    test_until: str

    @property
    def fitted_until(self) -> str:
        """The end of the ratings that the model was fitted on."""
        return self.until if self.refit else self.tune_from


class Calibration(Part):
    """The map from log odds to probability: see :func:`movierate_spark.model.calibration.calibrated`."""

    method: Literal["none", "platt", "isotonic"]
    slope: float = 1.0
    intercept: float = 0.0
    logits: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()


class Baseline(Part):
    """A logistic model with at most two columns of the history, for comparison."""

    intercept: float
    coefficients: Mapping[str, float]
    decision_threshold: float


class Coefficient(Part):
    """A feature's coefficient: see :func:`movierate_spark.model.coefficients.coefficient_table`."""

    feature: str
    coefficient: float
    standard_error: float | None
    deviation: float
    indicator: bool


class PenaltyLoss(Part):
    """The log loss of one penalty: mean, by fold, and minus the best penalty's on the same rows."""

    regParam: float
    elasticNetParam: float
    log_loss: float
    folds: tuple[float, ...]
    difference: float
    standard_error: float
    chosen: bool


class LakeVersions(Part):
    """The lake that a model was trained on, and the versions of its tables."""

    path: str
    versions: Mapping[str, int]


class Manifest(Document):
    """``bundle.json``: the model's files, how to use them, and the metrics of the training.

    ``signature`` maps the columns that the pipeline reads to their types. ``params`` is the selected penalty,
    with Spark's names. ``cross_validation`` has all penalties. ``files`` are SHA-256 digests by path relative
    to the bundle.
    """

    version: str
    folder: str
    training: TrainingInterval
    lake: LakeVersions
    with_month: bool
    signature: Mapping[str, str]
    label: LabelSettings
    features: FeatureSettings
    decision_threshold: float
    threshold_metric: Literal["accuracy", "f1"]
    calibration: Calibration
    params: Mapping[str, float]
    cross_validation: tuple[PenaltyLoss, ...]
    feature_names: tuple[str, ...]
    coefficients: tuple[Coefficient, ...]
    baselines: Mapping[str, Baseline]
    metrics: Measurement
    libraries: Mapping[str, str]
    files: Mapping[str, str]
