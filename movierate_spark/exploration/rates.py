"""Like rates and their differences, with standard errors that allow for correlation within a user.

People are sampled, not ratings. The variance of a ratio of two sums is therefore that of its linearisation
summed by person (Cochran 1977, Sampling Techniques, section 6.3; Binder 1983), with people - 1 degrees of
freedom. It is computed from the sums of :mod:`movierate_spark.exploration.cells`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from movierate_spark.intervals import CONFIDENCE, t_errors

FALSE_DISCOVERIES = 0.05
PERSON_SUMS = ["ratings_squared", "ratings_liked", "liked_squared"]


def with_like_rate(cells: pd.DataFrame) -> pd.DataFrame:
    """Add ``like_rate``, its ``standard_error`` and the 95% interval ``low`` to ``high``.

    The last three are NaN if they can't be estimated: with one person, or no variance between people.
    """
    rate = cells["liked"] / cells["ratings"]
    spread = _squares(cells, rate, rate) * cells["people"] / np.maximum(cells["people"] - 1, 1)
    error = np.sqrt(spread) / cells["ratings"]
    # Rounding errors leave a small variance where there is none.
    error = error.where((cells["people"] > 1) & (spread > 1e-12 * cells["ratings"] ** 2))
    half = t_errors(cells["people"]) * error
    return cells.assign(
        like_rate=rate,
        standard_error=error,
        low=(rate - half).clip(lower=0),
        high=(rate + half).clip(upper=1),
    )


def against_genre(cells: pd.DataFrame, genres: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Compare each genre's like rate in a group with the genre's like rate among everybody.

    ``cells`` have a row per (value, attribute, group), where value is the genre. ``genres`` have a row per
    genre for everybody. ``groups`` have a row per (attribute, group) for all genres, and one of attribute
    ``all``. Added columns: ``like_rate``, ``genre_like_rate``, their ``difference``, its ``standard_error``,
    ``p_value`` (two-sided), ``q_value`` (Benjamini and Hochberg 1995, over all cells), ``discovered`` (q at
    most 0.05) and ``group_difference`` (the group's like rate over all genres minus everybody's).
    ``difference_low`` to ``difference_high`` is a 95% interval. For discovered cells it is wider, so that 95%
    of the intervals selected cover the true value (Benjamini and Yekutieli 2005).
    """
    everybody = genres.set_index("value").loc[cells["value"]].reset_index(drop=True)
    part = cells.reset_index(drop=True)
    rate, genre_rate = part["liked"] / part["ratings"], everybody["liked"] / everybody["ratings"]
    variance = (
        _squares(part, rate, rate) / part["ratings"] ** 2
        - 2 * _squares(part, rate, genre_rate) / (part["ratings"] * everybody["ratings"])
        + _squares(everybody, genre_rate, genre_rate) / everybody["ratings"] ** 2
    ) * (everybody["people"] / np.maximum(everybody["people"] - 1, 1))
    error = np.sqrt(variance.clip(lower=0))
    error = error.where((part["people"] > 1) & (error > 0))
    difference = rate - genre_rate
    compared = part.assign(
        like_rate=rate,
        genre_like_rate=genre_rate,
        difference=difference,
        group_difference=_group_difference(part, groups),
        standard_error=error,
        p_value=2 * stats.t.sf(np.abs(difference / error), np.maximum(part["people"] - 1, 1)),
    )
    return _with_discoveries(compared)


def _group_difference(part: pd.DataFrame, groups: pd.DataFrame) -> Any:
    rates = (groups["liked"] / groups["ratings"]).to_numpy()
    by_group = dict(zip(zip(groups["attribute"], groups["group"], strict=True), rates, strict=True))
    everybody = by_group["all", "all"]
    keys = zip(part["attribute"], part["group"], strict=True)
    return [by_group.get(key, np.nan) - everybody for key in keys]


def _with_discoveries(compared: pd.DataFrame) -> pd.DataFrame:
    tested = compared["p_value"].notna()
    q_value = pd.Series(np.nan, index=compared.index)
    if tested.any():
        q_value[tested] = stats.false_discovery_control(compared.loc[tested, "p_value"], method="bh")
    discovered = q_value <= FALSE_DISCOVERIES
    error_rate = FALSE_DISCOVERIES * discovered.sum() / max(tested.sum(), 1)
    tail = np.where(discovered, error_rate, 1 - CONFIDENCE) / 2
    half = t_errors(compared["people"], tail=tail) * compared["standard_error"]
    return compared.assign(
        q_value=q_value,
        discovered=discovered,
        difference_low=compared["difference"] - half,
        difference_high=compared["difference"] + half,
    )


def correlations(sums: pd.DataFrame) -> pd.DataFrame:
    """Pearson's correlation of each number with liking: a row per number, ``number`` and ``correlation``.

    ``sums`` have a row per number with n, x, x_squared, x_liked and liked. The correlation is NaN if nothing
    varies. The count n is left out: with the total, it would reveal for how many ratings the number is
    unknown.
    """
    n, x, likes = (sums[name].to_numpy(dtype=object) for name in ("n", "x", "liked"))  # integers of any size
    covariance = n * sums["x_liked"].to_numpy(dtype=object) - x * likes
    spread = (n * sums["x_squared"].to_numpy(dtype=object) - x * x) * (n * likes - likes * likes)
    correlation = [
        float(a) / float(b) ** 0.5 if b > 0 else np.nan for a, b in zip(covariance, spread, strict=True)
    ]
    return pd.DataFrame({"number": sums["number"], "correlation": correlation})


def _squares(sums: pd.DataFrame, one: Any, other: Any) -> Any:
    """The sum over people of (likes - one * ratings) * (likes - other * ratings)."""
    squared, product, liked = (sums[name] for name in PERSON_SUMS)
    return liked - (one + other) * product + one * other * squared
