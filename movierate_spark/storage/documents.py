"""The JSON documents that runs leave: ledger, bundle manifest, metrics and run record.

They are read and written through frozen models, so that a change of format is a decision: raise
``format_version``, and say what becomes of the documents that users have (``tests/storage/examples``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from movierate_spark.config import FeatureSettings, LabelSettings

Outcome = Literal["done", "unchanged", "conflict", "failed"]
Interval = tuple[float, float]
"""The lower and the upper end of a 95% interval."""


class Part(BaseModel):
    """A part of a document. What was not given is not written."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, protected_namespaces=())

    def content(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return self.model_dump(mode="json", exclude_unset=True)


class Document(Part):
    """A document as a whole. One without ``format_version`` was written by version 0.1."""

    newest: ClassVar[int] = 1

    format_version: int = Field(default=0, ge=0, le=1)

    @classmethod
    def new(cls, **content: Any) -> Self:
        """A document of today's format."""
        return cls.model_validate({"format_version": cls.newest, **content})

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The document that a file's bytes hold.

        Raises:
            ValueError: they hold no document of this kind; a pydantic.ValidationError tells where.
        """
        return cls.model_validate(json.loads(content))


def problem_with(error: Exception) -> str:
    """What is wrong with a document that can't be read, in a few words."""
    if not isinstance(error, ValidationError):
        return str(error)
    first: Any = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if where == "format_version":
        return f"its format_version is {first['input']!r}, another version's"
    if first["type"] == "missing":
        return f"it lacks {where}"
    return f"{where}: {first['msg']}" if where else str(first["msg"])


class TableCounts(Part):
    """What became of a table's lines: ``read = accepted + rejected + blank + superseded``.

    ``by_rule`` counts the rejected ones by the rule that they broke, ``unknown`` the accepted rows in which a
    column is unknown. Of ratings only: ``re_rated`` (ratings of a movie that the user had rated before;
    version 0.1 did not keep them) and ``orphans`` (ratings whose user or movie is in no table).
    """

    read: int
    accepted: int
    rejected: int
    blank: int
    superseded: int
    by_rule: Mapping[str, int]
    unknown: Mapping[str, int] = Field(default_factory=dict)
    re_rated: int | None = None
    orphans: int | None = None


class Ledger(Document):
    """``ledger.json``: what a lake was made of, what became of every line, and its tables' versions.

    ``inputs`` are the identities of the delivered files by name; ``settings`` those that ``prepare`` goes by.
    """

    format: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    made_by: str = ""
    tables: Mapping[str, TableCounts]
    versions: Mapping[str, int]


class Confusion(Part):
    """Ratings by decision and truth; positive is liked."""

    tp: int
    fp: int
    tn: int
    fn: int


class Figures(Part):
    """Metrics of a group of ratings; None where a metric is not defined, as AUC is not for a single class.

    ``people`` and ``intervals`` (95%, by user) are measured by ``evaluate`` only, for the model only.
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
    """Metrics for new or known users and movies, with those of the baselines."""

    baselines: Mapping[str, Figures]


class Measurement(Figures):
    """Metrics of a model over all measured ratings, by segment, by who is new, and of the baselines."""

    segments: Mapping[str, Mapping[str, Figures]]
    baselines: Mapping[str, Figures]
    cold_start: Mapping[str, ColdStart]


class Against(Figures):
    """Metrics of another model on the same ratings, and the measured model's minus these."""

    model_version: str
    difference: Mapping[str, float | None]
    difference_intervals: Mapping[str, Interval | None]


class Metrics(Measurement, Document):
    """``metrics.json``: what ``evaluate`` measured, and on which ratings.

    ``since`` and ``until`` are in ISO 8601. ``leakage_cost`` has metrics by split and history.
    ``predictions_version`` is the Delta version of the predictions, None until they are published.
    """

    against: Against | None = None
    leakage_cost: Mapping[str, Mapping[str, Figures]] = Field(default_factory=dict)
    model_version: str
    since: str
    until: str | None
    min_user_history: int
    overlap: bool
    predictions_version: int | None = None


class TrainingInterval(Part):
    """Which ratings a model was fitted on, tuned on and measured on; times in ISO 8601, ends exclusive."""

    from_: str = Field(alias="from")
    until: str
    rows: int
    refit: bool
    tune_from: str
    test_from: str
    test_until: str


class Calibration(Part):
    """How log odds become a probability: see :func:`movierate_spark.model.calibration.calibrated`."""

    method: Literal["none", "platt", "isotonic"]
    slope: float = 1.0
    intercept: float = 0.0
    logits: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()


class Baseline(Part):
    """A logistic model of one or two columns of the history, to be beaten."""

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
    """The log loss of one penalty over the folds, and against the best one on the same rows."""

    regParam: float
    elasticNetParam: float
    log_loss: float
    folds: tuple[float, ...]
    difference: float
    standard_error: float
    chosen: bool


class LakeVersions(Part):
    """The lake that a model was trained on."""

    path: str
    versions: Mapping[str, int]


class Manifest(Document):
    """``bundle.json``: which files make the model, how to use them, and what was measured in training.

    ``signature`` are the columns, with types, that the pipeline reads; ``params`` is the chosen penalty, as
    Spark names its parts; ``cross_validation`` the whole path of penalties; ``files`` are SHA-256 digests
    by path below the bundle.
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


class RunRecord(Document):
    """What a run read, did and left. Times are UTC; ``seconds`` from its beginning to its end.

    ``counts`` are rows at each step, which add up. Secrets among the settings are hidden.
    """

    job: str
    started: str
    outcome: Outcome
    run_date: str | None
    seconds: float
    inputs: Mapping[str, Any]
    counts: Mapping[str, Any]
    outputs: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]
    libraries: Mapping[str, str]
