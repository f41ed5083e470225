"""Intervals of metrics: a Poisson bootstrap by user, in one distributed pass.

Users are resampled, not rows, as ratings of one user are not independent. In each resample a user has the
weight of a Poisson(1) variable (Chamandy et al. 2012, Estimating uncertainty for massive data streams). It is
computed from a hash of user, resample and seed. So all tasks use the same weights without communication, and
two models are compared on the same resamples. Within a resample, AUC, AUC-PR and ECE order probabilities by
thousandths only; the other metrics are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, LongType, StringType, StructField, StructType

from movierate_spark.evaluation.metrics import ECE_BINS, METRICS, PIECES, SMALLEST_PROBABILITY
from movierate_spark.hashing import GOLDEN_GAMMA, mixed, uniform
from movierate_spark.intervals import TAIL

SUMS = ("log_loss", "brier", "tp", "fp")
BIASED = ("ece",)
"""Metrics that chance raises by more than they vary: an interval around them would miss the true value."""

Floats = NDArray[np.float64]
_HISTOGRAMS = ("positives", "negatives", "expected")
_PARTIAL = StructType(
    [
        StructField("model", StringType()),
        StructField("resample", LongType()),
        *(StructField(name, ArrayType(DoubleType())) for name in (*_HISTOGRAMS, "sums")),
    ]
)
_RESULT = StructType(
    [
        StructField("model", StringType()),
        StructField("resample", LongType()),
        *(StructField(name, DoubleType()) for name in METRICS),
    ]
)


def resampled_metrics(rows: DataFrame, *, resamples: int, seed: int) -> dict[str, dict[str, Floats]]:
    """Metrics of each resample: model -> metric -> array of ``resamples`` values, NaN if undefined.

    Empty if ``resamples`` is 0. ``rows`` have ``user_id``, ``model``, ``label`` (1 or true: liked),
    ``probability`` and ``decision_threshold``.
    """
    if not resamples:
        return {}
    inputs = rows.select(
        "user_id", "model", F.col("label").cast("double").alias("label"), "probability", "decision_threshold"
    )
    partial_sums = inputs.mapInArrow(partial(_task, resamples=resamples, seed=seed), _PARTIAL)
    metrics = partial_sums.repartition("model", "resample").mapInArrow(_combine, _RESULT).toPandas()
    return {
        str(model): {
            name: group.sort_values("resample")[name].to_numpy(dtype=float, na_value=np.nan)
            for name in METRICS
        }
        for model, group in metrics.groupby("model")
    }


def interval(
    metric: str, resampled: Floats, *, point: float | None, signed: bool = False
) -> list[float] | None:
    """The 95% percentile interval, corrected for bias: the mean of the resamples minus the metric ``point``.

    The ends stay within what a metric can be, unless they are of a ``signed`` difference. None if the metric
    is not defined, also in a single resample, if there are no resamples, and for :data:`BIASED`.
    """
    if metric in BIASED or point is None or not len(resampled) or np.isnan(resampled).any():
        return None
    low, high = np.quantile(resampled, [TAIL, 1 - TAIL]) - (resampled.mean() - point)
    if signed:
        return [float(low), float(high)]
    return [max(float(low), 0.0), float(high) if metric == "log_loss" else min(float(high), 1.0)]


def counts(user_id: NDArray[np.int64], *, resample: int, seed: int) -> NDArray[np.int64]:
    """The weight of each user in a resample: Poisson(1), from a hash."""
    x = user_id.astype(np.uint64) * GOLDEN_GAMMA
    x ^= mixed(np.array([seed], dtype=np.int64).astype(np.uint64) + np.uint64(resample))
    return np.searchsorted(_POISSON, uniform(x), side="right")


# P(X <= k) of Poisson(1), for k = 0 to 19: larger k are below double precision.
_POISSON = np.cumsum(np.exp(-1.0) / np.cumprod(np.maximum(np.arange(20), 1)))


def _task(batches: Iterator[pa.RecordBatch], resamples: int, seed: int) -> Iterator[pa.RecordBatch]:
    totals: dict[str, dict[str, Floats]] = {}
    for batch in batches:
        table = pa.table(batch)
        for model in table["model"].unique().to_pylist():
            rows = table.filter(pc.equal(table["model"], model))
            sums = _sums_of(rows, resamples, seed)
            total = totals.setdefault(model, {name: np.zeros_like(values) for name, values in sums.items()})
            for name, values in sums.items():
                total[name] += values
    for model, sums in totals.items():
        columns = {name: pa.array(list(values)) for name, values in sums.items()}
        yield pa.RecordBatch.from_pydict(
            {"model": [model] * resamples, "resample": np.arange(resamples), **columns}
        )


def _sums_of(rows: pa.Table, resamples: int, seed: int) -> dict[str, Floats]:
    """For each resample (first axis): histograms over thousandths of probability, and sums over rows."""
    users, row_user = np.unique(rows["user_id"].to_numpy(), return_inverse=True)
    label, p, decision_threshold = (
        rows[name].to_numpy() for name in ("label", "probability", "decision_threshold")
    )
    piece = np.minimum((p * PIECES).astype(np.int64), PIECES - 1)
    safe = np.clip(p, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    predicted = p >= decision_threshold
    terms = np.stack(
        [
            -np.log(np.where(label > 0, safe, 1 - safe)),
            (label - p) ** 2,
            predicted * label,
            predicted * (1 - label),
        ]
    )
    sums: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_HISTOGRAMS, "sums")}
    for resample in range(resamples):
        weight = counts(users, resample=resample, seed=seed)[row_user].astype(np.float64)
        for name, value in zip(_HISTOGRAMS, (label, 1 - label, p), strict=True):
            sums[name].append(np.bincount(piece, weights=weight * value, minlength=PIECES))
        sums["sums"].append(terms @ weight)
    return {name: np.stack(values) for name, values in sums.items()}


def _combine(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    totals: dict[tuple[str, int], dict[str, Floats]] = {}
    for batch in batches:
        keys = zip(batch["model"].to_pylist(), batch["resample"].to_pylist(), strict=True)
        parts = {name: _matrix(batch[name]) for name in (*_HISTOGRAMS, "sums")}
        for row, key in enumerate(keys):
            total = totals.setdefault(key, {name: np.zeros(len(part[row])) for name, part in parts.items()})
            for name, part in parts.items():
                total[name] += part[row]
    if totals:
        results = [
            {"model": model, "resample": resample, **_metrics(sums)}
            for (model, resample), sums in totals.items()
        ]
        yield pa.RecordBatch.from_pylist(results, schema=pa.schema(_arrow_fields()))


def _matrix(lists: pa.ListArray) -> Floats:
    """The matrix whose rows are the lists, which have equal lengths."""
    values: Floats = lists.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(lists), -1)


def _arrow_fields() -> list[tuple[str, pa.DataType]]:
    return [("model", pa.string()), ("resample", pa.int64()), *((name, pa.float64()) for name in METRICS)]


def _metrics(sums: Mapping[str, Floats]) -> dict[str, float]:
    """The metrics of one resample, by the formulas of :mod:`movierate_spark.evaluation.metrics`."""
    pos, neg, expected = (sums[name] for name in _HISTOGRAMS)
    log_loss, brier, tp, fp = sums["sums"]
    positives, negatives = pos.sum(), neg.sum()
    rows = positives + negatives
    liked_above, rows_above = np.cumsum(pos[::-1]), np.cumsum((pos + neg)[::-1])
    middle = np.cumsum(pos + neg) - (pos + neg) / 2
    bins = np.minimum((middle * ECE_BINS / max(rows, 1)).astype(np.int64), ECE_BINS - 1)
    return {
        "auc": _ratio(float(pos @ (np.cumsum(neg) - neg / 2)), positives * negatives),
        "auc_pr": _ratio(float(pos[::-1] @ (liked_above / np.maximum(rows_above, 1))), positives),
        "log_loss": _ratio(log_loss, rows),
        "brier": _ratio(brier, rows),
        "ece": _ratio(float(np.abs(np.bincount(bins, weights=pos - expected)).sum()), rows),
        "accuracy": _ratio(tp + negatives - fp, rows),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, positives),
        "f1": _ratio(2 * tp, tp + fp + positives),
    }


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else np.nan
