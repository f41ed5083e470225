"""What a model must beat: the like rate, and the means of movie and user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL, sigmoid
from movierate_spark.model.newton import fit_plain

BASELINES = {"movie_mean": ("movie_mean",), "user_movie_mean": ("user_mean", "movie_mean")}


def fit_baselines(
    rows: DataFrame, *, start: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, dict[str, Any]]:
    """Plain logistic models to beat, each with ``intercept``, ``coefficients`` and ``decision_threshold``.

    ``always_like`` knows the like rate only and always says liked; the others know the movie's mean
    as of the row, and the user's too. ``rows`` have ``label`` and the history's columns; ``start``, earlier
    baselines, only saves time.
    """
    liked, total = rows.agg(F.sum(LABEL), F.count(LABEL)).head() or (0, 0)
    always = {"intercept": math.log(liked / (total - liked)), "coefficients": {}, "decision_threshold": 0.0}
    begun = {
        name: (start[name]["intercept"], list(start[name]["coefficients"].values()))
        for name in BASELINES
        if start
    }
    fitted = fit_plain(rows, BASELINES, start=begun)
    return {"always_like": always} | {
        name: {
            "intercept": intercept,
            "coefficients": dict(zip(BASELINES[name], values, strict=True)),
            "decision_threshold": 0.5,
        }
        for name, (intercept, values) in fitted.items()
    }


def with_baselines(rows: DataFrame, baselines: Mapping[str, Mapping[str, Any]]) -> DataFrame:
    """Add each baseline's probability under its name; ``rows`` have the history's columns."""
    return rows.withColumns({name: _plain_probability(spec) for name, spec in baselines.items()})


def _plain_probability(spec: Mapping[str, Any]) -> Column:
    terms = (F.col(name) * F.lit(value) for name, value in spec["coefficients"].items())
    return sigmoid(sum(terms, start=F.lit(spec["intercept"])))
