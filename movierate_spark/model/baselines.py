"""What a model must beat: the like rate, and the means of movie and user."""

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
    """Plain logistic models to beat, each with ``intercept``, ``coefficients`` and ``decision_threshold``.

    ``always_like`` knows the like rate only and always says liked; the others know the movie's mean
    as of the row, and the user's too. ``rows`` have ``label`` and the history's columns; ``start``, earlier
    baselines, only saves time.
    """
    liked, total = rows.agg(F.sum(LABEL), F.count(LABEL)).head() or (0, 0)
    like_rate = math.log(liked / (total - liked))
    always = Baseline(intercept=like_rate, coefficients={}, decision_threshold=0.0)
    begun = {
        name: (start[name].intercept, list(start[name].coefficients.values())) for name in BASELINES if start
    }
    fitted = fit_plain(rows, BASELINES, start=begun)
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
