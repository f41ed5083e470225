"""Like rates and their differences, with standard errors that allow for correlation within a user.

People are sampled, not ratings. The variance of a ratio of two sums is therefore that of its linearisation
summed by person (Cochran 1977, Sampling Techniques, section 6.3; Binder 1983). Some people rate much more
than others, and pull the rate towards their own: so the variance is divided by its expectation, and the
degrees of freedom are counted in *effective people*, both for people whose like rates vary alike (Bell and
McCaffrey 2002; Imbens and Kolesar 2016). With equally active people they are the usual people - 1.

Everything is computed from the sums of :mod:`movierate_spark.exploration.cells`. A person's *share* is his
part of a cell's ratings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from movierate_spark.intervals import CONFIDENCE, t_errors

FALSE_DISCOVERIES = 0.05
PERSON_SUMS = ["ratings_squared", "ratings_liked", "liked_squared"]
LEAST_EXPECTATION = 1e-9
"""A variance of which less is expected comes from one person, and rounding errors."""


def with_like_rate(cells: pd.DataFrame) -> pd.DataFrame:
    """Add ``like_rate``, its ``standard_error`` and the 95% interval ``low`` to ``high``.

    The last three are NaN if they can't be estimated: with one person, or no variance between people.
    """
    ratings = cells["ratings"].astype(float)  # a square of whole numbers could overflow
    rate = cells["liked"] / ratings
    squared, cubed, fourth = _powers_of_shares(cells)
    expected = 1 - 2 * cubed / squared + squared
    variance = _squares(cells, rate, rate) / ratings**2
    error = np.sqrt((variance / expected).where(expected > LEAST_EXPECTATION))
    # Rounding errors leave a small variance where there is none.
    error = error.where((cells["people"] > 1) & (variance > 1e-12))
    half = t_errors(squared**2 / fourth) * error
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
    ``effective_people``, ``p_value`` (two-sided), ``q_value`` (Benjamini and Hochberg 1995, over all cells),
    ``discovered`` (q at most 0.05) and ``group_difference`` (the group's like rate over all genres minus
    everybody's). ``difference_low`` to ``difference_high`` is a 95% interval. For discovered cells it is
    wider, so that 95% of the intervals selected cover the true value (Benjamini and Yekutieli 2005).
    """
    everybody = genres.set_index("value").loc[cells["value"]].reset_index(drop=True)
    part = cells.reset_index(drop=True)
    ratings, genre_ratings = part["ratings"].astype(float), everybody["ratings"].astype(float)
    rate, genre_rate = part["liked"] / ratings, everybody["liked"] / genre_ratings
    expected, effective = _expected_and_effective(part, everybody)
    variance = (
        _squares(part, rate, rate) / ratings**2
        - 2 * _squares(part, rate, genre_rate) / (ratings * genre_ratings)
        + _squares(everybody, genre_rate, genre_rate) / genre_ratings**2
    ) / expected.where(expected > LEAST_EXPECTATION)
    error = np.sqrt(variance.clip(lower=0))
    error = error.where((part["people"] > 1) & (error > 0))
    difference = rate - genre_rate
    compared = part.assign(
        like_rate=rate,
        genre_like_rate=genre_rate,
        difference=difference,
        group_difference=_group_difference(part, groups),
        standard_error=error,
        effective_people=effective,
        p_value=2 * stats.t.sf(np.abs(difference / error), np.maximum(effective - 1, 1)),
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
    half = t_errors(compared["effective_people"], tail=tail) * compared["standard_error"]
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


def _powers_of_shares(cells: pd.DataFrame) -> list[Any]:
    """The sums over people of the second, third and fourth powers of their shares."""
    ratings = cells["ratings"].astype(float)
    sums = ("ratings_squared", "ratings_cubed", "ratings_fourth")
    return [cells[name] / ratings**power for power, name in enumerate(sums, start=2)]


def _expected_and_effective(part: pd.DataFrame, everybody: pd.DataFrame) -> tuple[Any, Any]:
    """Of the difference of two rates: its expected sum of squares over its variance, and effective people.

    The rates are a part's and everybody's; the sum is that of the squared residuals by person. A person's
    weight in the difference is his share of the part minus his share of all. If all like rates have the same
    variance, the expectation follows from the powers of these shares.
    """
    share = part["ratings"] / everybody["ratings"].astype(float)
    squared, cubed, fourth = _powers_of_shares(part)
    of_all = [
        (total, total - share**power * own)  # all people, and those who are not in the part
        for power, (total, own) in enumerate(
            zip(_powers_of_shares(everybody), (squared, cubed, fourth), strict=True), start=2
        )
    ]
    (all_squared, rest_squared), (_, rest_cubed), (_, rest_fourth) = of_all
    true = (1 - share) ** 2 * squared + rest_squared
    of_part = squared * ((1 - share) ** 2 + squared + share**2 * all_squared - 2 * share**2 * squared)
    of_part = of_part - 2 * (1 - share) * (1 - share**2) * cubed
    of_rest = rest_squared * (1 + all_squared) - 2 * rest_cubed
    return (of_part + of_rest) / true, true**2 / ((1 - share) ** 4 * fourth + rest_fourth)


def _squares(sums: pd.DataFrame, one: Any, other: Any) -> Any:
    """The sum over people of (likes - one * ratings) * (likes - other * ratings)."""
    squared, product, liked = (sums[name] for name in PERSON_SUMS)
    return liked - (one + other) * product + one * other * squared
