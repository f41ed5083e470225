"""Standard errors of coefficients, from the observed information: one pass over the training rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.errors import MovierateError
from movierate_spark.features.names import FEATURES
from movierate_spark.session import expected_cores

MOST_FEATURES = 1000
SINGULAR = 1e-11
"""Directions with less information than this share of the largest have none but rounding errors."""
PARTS = "rows long, sums array<double>"

Floats = NDArray[np.float64]


def coefficient_table(
    vectors: DataFrame, model: LogisticRegressionModel, names: Sequence[str], params: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One entry per feature: ``feature, coefficient, standard_error, deviation, indicator``.

    ``vectors`` are the rows that the model was fitted on, ``params`` its penalty. With a ridge penalty the
    fit is the mode of a posterior. Its precision is the observed information, X'WX with W = p (1 - p), plus
    the penalty (Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, section 4.4);
    Spark penalises the coefficients of standardised features, multiplied by the number of rows. The standard
    error is the square root of the diagonal of the inverse. It is approximate, as ratings of one user are not
    independent. It is None for a coefficient of zero, with a lasso penalty, for more than 1,000 features, and
    for those that are not identified, as without a penalty those of features that add up to a constant.
    ``deviation`` is the feature's standard deviation. An ``indicator`` has only the values 0 and 1.
    """
    coefficients = model.coefficients.toArray()
    rows, information, total, squares, off = _sums(vectors, coefficients, model.intercept)
    variance = np.maximum(squares - total * total / max(rows, 1), 0) / max(rows - 1, 1)
    errors: list[float | None] = [None] * len(names)
    if params["elasticNetParam"] == 0 and information is not None:
        penalised = information + np.diag([0.0, *(rows * params["regParam"] * variance)])
        errors = _standard_errors(penalised, coefficients)
    return [
        {
            "feature": name,
            "coefficient": float(coefficients[i]),
            "standard_error": errors[i],
            "deviation": float(np.sqrt(variance[i])),
            "indicator": bool(off[i] == 0),
        }
        for i, name in enumerate(names)
    ]


def _standard_errors(information: Floats, coefficients: Floats) -> list[float | None]:
    """Index 0 of ``information`` is the intercept: it is estimated too, so it belongs into the inverse."""
    used = np.flatnonzero(coefficients)
    indices = np.array([0, *(used + 1)])
    of_used = information[np.ix_(indices, indices)]
    scale = np.sqrt(np.maximum(np.diag(of_used), np.finfo(float).tiny))
    values, directions = np.linalg.eigh(of_used / np.outer(scale, scale))
    unknown = values < SINGULAR * values[-1]
    identified = np.abs(directions[:, unknown]).max(axis=1, initial=0) < math.sqrt(SINGULAR)
    known = directions[:, ~unknown]
    variances = (known**2 / values[~unknown]).sum(axis=1) / scale**2
    errors: list[float | None] = [None] * len(coefficients)
    for place, feature in enumerate(used, start=1):
        errors[feature] = float(np.sqrt(variances[place])) if identified[place] else None
    return errors


def _sums(
    vectors: DataFrame, coefficients: Floats, intercept: float
) -> tuple[int, Floats | None, Floats, Floats, Floats]:
    """Rows, X'WX with the intercept first, and per feature: sums of x, x * x and abs(x * x - x)."""
    size = len(coefficients)
    if size > MOST_FEATURES:
        return _sums_of_wide(vectors)
    arrays = vectors.select(vector_to_array(F.col(FEATURES)).alias("x"))
    task = partial(_task, coefficients=coefficients, intercept=intercept)
    parts = arrays.mapInArrow(task, PARTS).withColumn("task", F.spark_partition_id())
    total_row = added_up(parts, groups=math.ceil(math.sqrt(expected_cores(vectors.sparkSession)))).toPandas()
    length = 3 * size + (size + 1) ** 2
    rows = int(total_row["rows"].sum())
    sums = np.sum(np.stack([np.zeros(length), *total_row["sums"]]), axis=0)
    total, squares, off = sums[: 3 * size].reshape(3, size)
    return rows, sums[3 * size :].reshape(size + 1, size + 1), total, squares, off


def _sums_of_wide(vectors: DataFrame) -> tuple[int, None, Floats, Floats, Floats]:
    """The same without X'WX; zeros take no memory, as they do in an array of all features."""
    names = ("count", "sum", "normL2", "min", "max", "numNonZeros")
    summary = vectors.agg(Summarizer.metrics(*names).summary(F.col(FEATURES)).alias("of")).head()
    of = summary["of"] if summary else None
    if of is None or not of["count"]:
        raise MovierateError("no rows to compute standard deviations of")
    total, norm, least, most, nonzero = (of[name].toArray() for name in names[1:])
    is_indicator = (least >= 0) & (most <= 1) & (total == nonzero)
    return int(of["count"]), None, total, norm * norm, np.where(is_indicator, 0.0, 1.0)


def added_up(parts: DataFrame, *, groups: int) -> DataFrame:
    """The sum of ``parts`` (a row per ``task``: rows, sums) as one row; no row if there are no parts.

    The parts are added up in groups first, so that the driver does not get a matrix from each task.
    """
    for count in (groups, 1):
        group = (F.col("task") % count).cast("int")
        together = parts.repartitionById(count, group).sortWithinPartitions("task").drop("task")
        parts = together.mapInArrow(_add, PARTS).withColumn("task", F.spark_partition_id())
    return parts


def _add(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows, sums = 0, np.zeros(1)
    for batch in batches:
        rows += sum(batch["rows"].to_pylist())
        parts = batch["sums"].flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
        sums = sums + parts.sum(axis=0)
    if rows:
        yield pa.RecordBatch.from_pydict({"rows": [rows], "sums": [sums]})


def _task(
    batches: Iterator[pa.RecordBatch], coefficients: Floats, intercept: float
) -> Iterator[pa.RecordBatch]:
    rows, sums = 0, np.zeros(1)
    for batch in batches:
        x = batch["x"].flatten().to_numpy(zero_copy_only=False).reshape(len(batch["x"]), -1)
        p = 1 / (1 + np.exp(-(x @ coefficients + intercept)))
        design = np.column_stack([np.ones(len(x)), x])
        information = (design.T * (p * (1 - p))) @ design
        of_features = [x.sum(axis=0), (x * x).sum(axis=0), np.abs(x * x - x).sum(axis=0)]
        sums = sums + np.concatenate([*of_features, information.ravel()])
        rows += len(x)
    if rows:
        yield pa.RecordBatch.from_pydict({"rows": [rows], "sums": [sums]})
