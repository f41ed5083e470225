"""Unpenalised logistic regression on a few columns, for calibration and baselines."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL, sigmoid

Plain = tuple[float, list[float]]


def fit_plain(
    rows: DataFrame, models: Mapping[str, Sequence[str]], *, start: Mapping[str, Plain] | None = None
) -> dict[str, Plain]:
    """Intercept and coefficients of unpenalised logistic regressions of ``label``, each on a few columns.

    ``models`` maps names to columns; ``start`` has earlier results to start from. Newton's method is used
    (iteratively reweighted least squares; McCullagh and Nelder, Generalized Linear Models, section 4.4). Each
    step is one aggregation over the rows for all models together. If the classes are perfectly separable
    there is no finite optimum, and the result of the last of 25 steps is returned.
    """
    starts = start or {}
    betas = {
        name: np.array([starts[name][0], *starts[name][1]]) if name in starts else np.zeros(len(columns) + 1)
        for name, columns in models.items()
    }
    unfinished = list(models)
    for _ in range(25):
        steps = _newton_steps(rows, {name: (models[name], betas[name]) for name in unfinished})
        for name, step in steps.items():
            betas[name] = betas[name] + step
        unfinished = [name for name, step in steps.items() if np.abs(step).max() >= 1e-10]
        if not unfinished:
            break
    return {name: (float(beta[0]), [float(value) for value in beta[1:]]) for name, beta in betas.items()}


def _newton_steps(
    rows: DataFrame, models: Mapping[str, tuple[Sequence[str], NDArray[np.float64]]]
) -> dict[str, NDArray[np.float64]]:
    sums: list[Column] = []
    for columns, beta in models.values():
        x = [F.lit(1.0), *(F.col(name).cast("double") for name in columns)]
        odds = reduce(operator.add, (F.lit(float(b)) * column for b, column in zip(beta, x, strict=True)))
        p = sigmoid(odds)
        sums += [F.sum((F.col(LABEL) - p) * column) for column in x]
        sums += [F.sum(p * (1 - p) * a * b) for a in x for b in x]
    values = np.array(rows.agg(*sums).head(), dtype=float)
    steps = {}
    for name, (_, beta) in models.items():
        size = len(beta)
        gradient, information, values = np.split(values, [size, size + size * size])
        steps[name] = np.linalg.lstsq(information.reshape(size, size), gradient, rcond=None)[0]
    return steps
