"""``metrics.json``, and the metrics in other documents."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from movierate_spark.storage.documents.document import Document, Part

Interval = tuple[float, float]
"""The lower and the upper end of a 95% interval."""


class Confusion(Part):
    """The confusion matrix, in ratings; positive is liked."""

    tp: int
    fp: int
    tn: int
    fn: int


class Figures(Part):
    """Metrics of a group of ratings; None if a metric is not defined, as the AUC of a single class.

    ``people`` (users) and ``intervals`` (95%, by user) are only set by ``evaluate``, and not for baselines.
    """

    rows: int
    positives: int
    auc: float | None
    auc_pr: float | None
    log_loss: float
    brier: float
    ece: float
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None
    decision_threshold: float
    confusion: Confusion
    people: int | None = None
    intervals: Mapping[str, Interval | None] = Field(default_factory=dict)

    def metric(self, name: str) -> float | None:
        """One of :data:`movierate_spark.evaluation.metrics.METRICS`."""
        value: float | None = getattr(self, name)
        return value


class ColdStart(Figures):
    """Metrics for ratings of new or known users and movies, with the baselines' metrics."""

    baselines: Mapping[str, Figures]


class Measurement(Figures):
    """Metrics of a model on all evaluated ratings, by segment and for cold starts, and of the baselines."""

    segments: Mapping[str, Mapping[str, Figures]]
    baselines: Mapping[str, Figures]
    cold_start: Mapping[str, ColdStart]


class OtherModel(Figures):
    """Metrics of another model on the same ratings; ``difference`` is the evaluated model's minus these."""

    model_version: str
    difference: Mapping[str, float | None]
    difference_intervals: Mapping[str, Interval | None]


class Ablation(Part):
    """A model without a family of columns: see :func:`movierate_spark.evaluation.ablation.ablation`."""

    without: str
    features: int
    seconds: float
    auc: float | None
    log_loss: float
    accuracy: float
    difference: Mapping[str, float | None]
    difference_intervals: Mapping[str, Interval | None]


class Metrics(Measurement, Document):
    """``metrics.json``: the metrics that ``evaluate`` computed, and on which ratings.

    The ratings were made from ``since`` on and before ``until`` (ISO 8601). ``overlap`` is true if ``since``
    is before the end of training. ``leakage_cost`` has metrics by split and history; ``ablation`` those of
    the model without each family of columns, first of the whole model. ``predictions_version`` is the Delta
    version of the predictions, None until they are published.
    """

    against: OtherModel | None = None
    leakage_cost: Mapping[str, Mapping[str, Figures]] = Field(default_factory=dict)
    ablation: tuple[Ablation, ...] = ()
    model_version: str
    since: str
    until: str | None
    min_user_history: int
    overlap: bool
    predictions_version: int | None = None
