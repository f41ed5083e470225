"""Baselines for the model: the like rate, and the means of movie and user."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import LABEL, sigmoid
from movierate_spark.model.newton import fit_plain
from movierate_spark.storage.documents import Baseline

BASELINES = {"movie_mean": ("movie_mean",), "user_movie_mean": ("user_mean", "movie_mean")}


def fit_baselines(rows: DataFrame, *, start: Mapping[str, Baseline] | None = None) -> dict[str, Baseline]:
    """Unpenalised logistic models by name, each with its decision threshold.

    ``always_like`` has only an intercept, from the like rate, and always predicts liked. ``movie_mean`` uses
    the movie's mean as of the row, ``user_movie_mean`` the user's mean too. ``rows`` have ``label`` and the
    columns of the history. ``start`` has earlier baselines to start from, which saves time.
    """
    liked, total = rows.agg(F.sum(LABEL), F.count(LABEL)).head() or (0, 0)
    log_odds = math.log(liked / (total - liked))
    always = Baseline(intercept=log_odds, coefficients={}, decision_threshold=0.0)
    starts = {
        name: (start[name].intercept, list(start[name].coefficients.values())) for name in BASELINES if start
    }
    fitted = fit_plain(rows, BASELINES, start=starts)
    return {"always_like": always} | {
        name: Baseline(
            intercept=intercept,
            coefficients=dict(zip(BASELINES[name], values, strict=True)),
            decision_threshold=0.5,
        )
        for name, (intercept, values) in fitted.items()
    }


def with_baselines(rows: DataFrame, baselines: Mapping[str, Baseline]) -> DataFrame:
    """Add each baseline's probability under its name; ``rows`` have the history's columns."""
    return rows.withColumns({name: _plain_probability(baseline) for name, baseline in baselines.items()})


def _plain_probability(baseline: Baseline) -> Column:
    terms = (F.col(name) * F.lit(value) for name, value in baseline.coefficients.items())
    return sigmoid(sum(terms, start=F.lit(baseline.intercept)))
