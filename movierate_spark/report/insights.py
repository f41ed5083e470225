"""Sentences that a person can act on, each made from a figure; none without enough data behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from movierate_spark.exploration import Exploration
from movierate_spark.report.page import Insight, formatted
from movierate_spark.storage.documents import Metrics

CHOSE = "Holds for those who chose to rate it."
OF_EACH = 3
ENOUGH_NEW = 50
GROUPS = {"gender": "of gender {}", "age_group": "aged {}", "occupation": "of occupation {}"}


def exploration_insights(found: Exploration, *, shrinkage: float) -> list[Insight]:
    """What to promote to whom and what not, hidden gems, divided opinions, how long the tail is."""
    tables = found.tables
    return [
        *_pairs(tables["differences"], liked_more=True),
        *_pairs(tables["differences"], liked_more=False),
        *_gems(tables["hidden_gems"], shrinkage=shrinkage),
        *_polarising(tables["polarising"]),
        *_tail(found),
    ]


def _pairs(differences: pd.DataFrame, *, liked_more: bool) -> Iterator[Insight]:
    """Pairs whose whole interval lies beyond the group's general difference, the surest first."""
    sign = 1 if liked_more else -1
    bound = differences["difference_low" if liked_more else "difference_high"] * sign
    chosen = differences[(bound > 0) & (bound > differences["group_difference"] * sign)].head(OF_EACH)
    for pair in chosen.to_dict("records"):
        yield Insight(_pair_text(pair, liked_more=liked_more), "differences", _pair_support(pair), CHOSE)


def _pair_text(pair: Mapping[Any, Any], *, liked_more: bool) -> str:
    advice = "Promote {} to {}" if liked_more else "Think twice before recommending {} to {}"
    low, high = sorted(abs(100 * pair[name]) for name in ("difference_low", "difference_high"))
    return (
        f"{advice.format(pair['genre'], _people(pair['attribute'], pair['group']))}: they like"
        f" {formatted(pair['like_rate'], 'percent')} of what they rate of it, against"
        f" {formatted(pair['genre_like_rate'], 'percent')} among everybody, a difference of"
        f" {abs(100 * pair['difference']):.1f} points (95% interval {low:.1f} to {high:.1f})."
    )


def _pair_support(pair: Mapping[Any, Any]) -> str:
    over_all = formatted(pair["group_difference"], "points")
    return (
        f"{pair['ratings']:,} ratings by {pair['people']:,} people; over all genres the group's like rate"
        " differs by"
        f" {over_all} points."
    )


def _gems(gems: pd.DataFrame, *, shrinkage: float) -> Iterator[Insight]:
    for movie in gems.head(OF_EACH).to_dict("records"):
        text = (
            f"Hidden gem: {movie['title']} is liked in {formatted(movie['like_rate'], 'percent')} of its"
            " ratings,"
            f" {formatted(movie['shrunk_like_rate'], 'percent')} with {shrinkage:g} average ratings added."
        )
        yield Insight(text, "hidden_gems", f"{movie['ratings']:,} ratings.", f"Few have found it. {CHOSE}")


def _polarising(movies: pd.DataFrame) -> Iterator[Insight]:
    for movie in movies.head(OF_EACH).to_dict("records"):
        text = (
            f"Opinions divide over {movie['title']}: a standard deviation of"
            f" {movie['standard_deviation']:.2f} stars"
            f" around a mean of {movie['mean_stars']:.2f}. Recommend it by taste, not by its mean."
        )
        yield Insight(text, "polarising", f"{movie['ratings']:,} ratings.", CHOSE)


def _tail(found: Exploration) -> Iterator[Insight]:
    totals = found.totals
    share = totals["movies_with_half"] / totals["movies"]
    text = (
        f"Half of all ratings go to {totals['movies_with_half']:,} of {totals['movies']:,} movies"
        f" ({formatted(share, 'percent')}): without recommendations the others are hard to come by."
    )
    support = f"{totals['ratings']:,} ratings."
    yield Insight(text, "ratings_per_movie", support, "A movie that was never rated does not count here.")


def evaluation_insights(metrics: Metrics, segments: Mapping[str, pd.DataFrame]) -> list[Insight]:
    """What the model gains, for which groups it is weakest, and what new users would bring."""
    return [
        *_gain(metrics),
        *_weakest(metrics, segments),
        *_new(metrics),
    ]


def _gain(metrics: Metrics) -> Iterator[Insight]:
    rivals = {name: each.auc for name, each in metrics.baselines.items() if each.auc is not None}
    if metrics.auc is None or not rivals:
        return
    best = max(rivals, key=lambda name: rivals[name])
    text = (
        "Of a like and another rating the model ranks the like higher in"
        f" {formatted(metrics.auc, 'percent')} of"
        f" pairs; the best of the simple rules, {best.replace('_', ' ')}, in"
        f" {formatted(rivals[best], 'percent')}."
    )
    support = f"{metrics.rows:,} ratings by {metrics.people:,} people."
    yield Insight(text, "side-by-side", support, "Measured on ratings that people chose to make.")


def _weakest(metrics: Metrics, segments: Mapping[str, pd.DataFrame]) -> Iterator[Insight]:
    """Groups whose whole interval lies below the AUC over all ratings, the lowest first."""
    named = pd.concat([table.assign(segment=name) for name, table in segments.items()], ignore_index=True)
    if metrics.auc is None:
        return
    weak = named[named["auc_high"] < metrics.auc].sort_values(["auc", "segment", "value"]).head(OF_EACH)
    for group in weak.to_dict("records"):
        who = (
            f"genre {group['value']}"
            if group["segment"] == "genre"
            else _people(group["segment"], group["value"])
        )
        text = (
            f"The model is weaker for {who}: an AUC of {formatted(group['auc'], 'ratio')} (95% interval"
            f" {formatted(group['auc_low'], 'ratio')} to {formatted(group['auc_high'], 'ratio')}) against"
            f" {formatted(metrics.auc, 'ratio')} over all. Trust its ranking less there."
        )
        support = f"{int(group['ratings']):,} ratings by {int(group['people']):,} people."
        limit = "Of many groups some look weak by chance."
        yield Insight(text, f"by-{group['segment'].replace('_', '-')}", support, limit)


def _people(attribute: str, group: str) -> str:
    return f"people {GROUPS[attribute].format(group)}"


def _new(metrics: Metrics) -> Iterator[Insight]:
    known, new = (metrics.cold_start.get(name) for name in ("known user/known movie", "new user/known movie"))
    if not known or not new or (new.people or 0) < ENOUGH_NEW:
        return
    of_new, of_known = new.intervals["auc"], known.intervals["auc"]
    if of_new is None or of_known is None or of_new[1] >= of_known[0]:
        return
    text = (
        f"For users without a single rating the AUC is {formatted(new.auc, 'ratio')}, for known ones"
        f" {formatted(known.auc, 'ratio')}: a few ratings asked for at the start are worth much."
    )
    support = f"{new.rows:,} first ratings of {new.people:,} people."
    yield Insight(text, "cold-start", support, "New people may differ from those who stayed.")
