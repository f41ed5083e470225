"""Like rates and their differences, with standard errors that know ratings of one user hang together.

People are what was sampled, not ratings: the variance of a ratio of two sums is that of its linearisation
summed by person (Cochran 1977, Sampling Techniques, section 6.3; Binder 1983), with people - 1 degrees of
freedom. It needs only the sums that :mod:`movierate_spark.exploration.cells` brings.
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

    The last three are NaN where they can't be told: one person, or no difference between people.
    """
    rate = cells["liked"] / cells["ratings"]
    spread = _squares(cells, rate, rate) * cells["people"] / np.maximum(cells["people"] - 1, 1)
    error = np.sqrt(spread) / cells["ratings"]
    # Sums of doubles leave a trace where nothing varies.
    error = error.where((cells["people"] > 1) & (spread > 1e-12 * cells["ratings"] ** 2))
    half = t_errors(cells["people"]) * error
    return cells.assign(
        like_rate=rate,
        standard_error=error,
        low=(rate - half).clip(lower=0),
        high=(rate + half).clip(upper=1),
    )


def against_genre(cells: pd.DataFrame, genres: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Each genre's like rate in a group against the genre's own, over everybody.

    ``cells``: a row per (value, attribute, group), value being the genre; ``genres``: a row per genre over
    everybody; ``groups``: a row per (attribute, group) over all genres, and one of attribute ``all``. Adds
    ``difference``, its ``standard_error``, ``p_value`` (two-sided), ``q_value`` (Benjamini and Hochberg
    1995, over all cells given), ``discovered`` (q at most 0.05) and ``group_difference``, how far the
    group's like rate over all genres lies above everybody's. The interval ``difference_low`` to
    ``difference_high`` of discovered cells is widened so that of those intervals 95% hold (Benjamini and
    Yekutieli 2005); the others' is a plain 95%.
    """
    whole = genres.set_index("value").loc[cells["value"]].reset_index(drop=True)
    part = cells.reset_index(drop=True)
    rate, genre_rate = part["liked"] / part["ratings"], whole["liked"] / whole["ratings"]
    variance = (
        _squares(part, rate, rate) / part["ratings"] ** 2
        - 2 * _squares(part, rate, genre_rate) / (part["ratings"] * whole["ratings"])
        + _squares(whole, genre_rate, genre_rate) / whole["ratings"] ** 2
    ) * (whole["people"] / np.maximum(whole["people"] - 1, 1))
    error = np.sqrt(variance.clip(lower=0))
    error = error.where((part["people"] > 1) & (error > 0))
    difference = rate - genre_rate
    found = part.assign(
        like_rate=rate,
        genre_like_rate=genre_rate,
        difference=difference,
        group_difference=_group_difference(part, groups),
        standard_error=error,
        p_value=2 * stats.t.sf(np.abs(difference / error), np.maximum(part["people"] - 1, 1)),
    )
    return _with_discoveries(found)


def _group_difference(part: pd.DataFrame, groups: pd.DataFrame) -> Any:
    rates = (groups["liked"] / groups["ratings"]).to_numpy()
    by_group = dict(zip(zip(groups["attribute"], groups["group"], strict=True), rates, strict=True))
    everybody = by_group["all", "all"]
    keys = zip(part["attribute"], part["group"], strict=True)
    return [by_group.get(key, np.nan) - everybody for key in keys]


def _with_discoveries(found: pd.DataFrame) -> pd.DataFrame:
    tested = found["p_value"].notna()
    q_value = pd.Series(np.nan, index=found.index)
    if tested.any():
        q_value[tested] = stats.false_discovery_control(found.loc[tested, "p_value"], method="bh")
    discovered = q_value <= FALSE_DISCOVERIES
    chosen = FALSE_DISCOVERIES * discovered.sum() / max(tested.sum(), 1)
    tail = np.where(discovered, chosen, 1 - CONFIDENCE) / 2
    half = t_errors(found["people"], tail=tail) * found["standard_error"]
    return found.assign(
        q_value=q_value,
        discovered=discovered,
        difference_low=found["difference"] - half,
        difference_high=found["difference"] + half,
    )


def correlations(sums: pd.DataFrame) -> pd.DataFrame:
    """Pearson's correlation of each number with being liked: ``number``, ``correlation``.

    ``sums``: a row per number with n, x, x_squared, x_liked and liked. NaN where nothing varies. The count
    is not among the columns: less the total it would tell how many ratings do not know the number.
    """
    n, x, likes = (sums[name].to_numpy(dtype=object) for name in ("n", "x", "liked"))  # whole, of any size
    together = n * sums["x_liked"].to_numpy(dtype=object) - x * likes
    spread = (n * sums["x_squared"].to_numpy(dtype=object) - x * x) * (n * likes - likes * likes)
    found = [float(a) / float(b) ** 0.5 if b > 0 else np.nan for a, b in zip(together, spread, strict=True)]
    return pd.DataFrame({"number": sums["number"], "correlation": found})


def _squares(sums: pd.DataFrame, one: Any, other: Any) -> Any:
    """Sum over people of (likes - one * ratings) * (likes - other * ratings)."""
    squared, product, liked = (sums[name] for name in PERSON_SUMS)
    return liked - (one + other) * product + one * other * squared
