"""The JSON documents that runs write: ledger, bundle manifest, metrics and run record.

They are read and written through frozen models. To change a format, raise ``format_version``, and decide what
happens to documents that users already have (``tests/storage/examples``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from movierate_spark.config import FeatureSettings, LabelSettings
from movierate_spark.errors import InputError
from movierate_spark.storage.locations import Location

Outcome = Literal["done", "unchanged", "conflict", "failed"]
Interval = tuple[float, float]
"""The lower and the upper end of a 95% interval."""


class Part(BaseModel):
    """A part of a document. Fields that were not set are not written."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, protected_namespaces=())

    def content(self) -> dict[str, Any]:
        """The JSON content, without fields that were not set."""
        return self.model_dump(mode="json", exclude_unset=True)


class Document(Part):
    """A complete document. Without ``format_version`` it was written by version 0.1."""

    newest: ClassVar[int] = 1

    format_version: int = Field(default=0, ge=0, le=1)

    @classmethod
    def new(cls, **content: Any) -> Self:
        """A new document in the newest format."""
        return cls.model_validate({"format_version": cls.newest, **content})

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Parse a document from a file's bytes.

        Raises:
            ValueError: they are not JSON, or not a document of this kind (``pydantic.ValidationError``).
        """
        return cls.model_validate(json.loads(content))


D = TypeVar("D", bound=Document)


def problem_with(error: Exception) -> str:
    """A short description of the error for which a document can't be read."""
    if not isinstance(error, ValidationError):
        return str(error)
    first: Any = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if where == "format_version":
        return f"its format_version is {first['input']!r}, another version's"
    if first["type"] == "missing":
        return f"it lacks {where}"
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def read_document(
    file: Location, kind: type[D], *, what: str, argument: str, made_by: str
) -> tuple[D, bytes]:
    """The document that publishes a folder, and the bytes from which it was parsed.

    ``what`` is what the folder is, ``argument`` the parameter that named it, ``made_by`` the command to run.

    Raises:
        InputError: there is no such file, or it can't be read.
    """
    try:
        content = file.read_bytes()
        return kind.parse(content), content
    except FileNotFoundError as error:
        message = f"{file.parent}: no {what} there ({file.name} is missing): run {made_by}"
        raise InputError(message, argument=argument) from error
    except (OSError, ValueError) as error:
        problem = problem_with(error)
        message = f"{file.parent}: {file.name} can't be read ({problem}): run {made_by} again"
        raise InputError(message, argument=argument) from error


class TableCounts(Part):
    """The counts of a table's lines: ``read = accepted + rejected + blank + superseded``.

    ``by_rule`` counts rejected lines by the rule that they broke. ``unknown`` counts accepted rows with an
    unknown value, by column. For ratings only: ``re_rated`` counts ratings of movies that the user had
    already rated (None in version 0.1, which did not keep them), ``orphans`` counts ratings whose user or
    movie is not in its table, and ``valid_from`` is the epoch second from which on the first of those that
    were rejected for a time in the future is valid (None if there are none).
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
    valid_from: int | None = None

    def is_up_to_date(self, now: float) -> bool:
        """Whether no rejected line has become valid until ``now`` (epoch seconds)."""
        return self.valid_from is None or now < self.valid_from


class DeliveryCounts(Part):
    """A delivery, and the counts of its lines when it was published.

    ``inputs`` are the identities of the delivered files by name. ``settings`` are those that determine the
    lake's content. ``made_by`` is the release that read it.
    """

    format: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    made_by: str = ""
    tables: Mapping[str, TableCounts]


class StateSettings(Part):
    """The settings on which the content of a lake's state depends."""

    min_rating: float
    shrinkage_movie: float


class StateEntry(Part):
    """A lake's state: ``until`` is the midnight (UTC) that ends its last day."""

    until: datetime
    settings: StateSettings


class Ledger(DeliveryCounts, Document):
    """``ledger.json``: a lake's inputs, the counts of their lines, and the versions of its tables.

    ``tables`` counts the lines of all deliveries; a row that a later delivery replaces is superseded. The
    other fields of a delivery are those of the last one that was complete. If others were added to it,
    ``deliveries`` has all of them, oldest first. ``before`` is the ledger that this one replaced. ``state``
    describes the history that is kept; None if none is.
    """

    versions: Mapping[str, int]
    deliveries: Sequence[DeliveryCounts] = ()
    state: StateEntry | None = None
    before: Ledger | None = None


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


class RunRecord(Document):
    """A run record: a run's inputs, steps, outputs and outcome. Times are UTC; ``seconds`` is its duration.

    ``counts`` are rows at each step, which add up. Secrets in the settings are hidden.
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
