"""Insights: sentences made from the figures, only where there is enough data."""

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


def exploration_insights(exploration: Exploration, *, shrinkage: float) -> list[Insight]:
    """Insights on tastes of groups, hidden gems, divided opinions and the concentration of ratings."""
    tables = exploration.tables
    return [
        *_pairs(tables["differences"], liked_more=True),
        *_pairs(tables["differences"], liked_more=False),
        *_gems(tables["hidden_gems"], shrinkage=shrinkage),
        *_polarising(tables["polarising"]),
        *_tail(exploration),
    ]


def _pairs(differences: pd.DataFrame, *, liked_more: bool) -> Iterator[Insight]:
    """Pairs whose interval is entirely beyond 0 and the group's overall difference, the surest first."""
    sign = 1 if liked_more else -1
    bound = differences["difference_low" if liked_more else "difference_high"] * sign
    pairs = differences[(bound > 0) & (bound > differences["group_difference"] * sign)].head(OF_EACH)
    for pair in pairs.to_dict("records"):
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
        f"{pair['ratings']:,} ratings{_by(pair['people'])}; over all genres the group's like rate differs by"
        f" {over_all} points."
    )


def _gems(gems: pd.DataFrame, *, shrinkage: float) -> Iterator[Insight]:
    for movie in gems.head(OF_EACH).to_dict("records"):
        text = (
            f"Hidden gem: {movie['title']} is liked in {formatted(movie['like_rate'], 'percent')} of its"
            f" ratings, {formatted(movie['shrunk_like_rate'], 'percent')} with {shrinkage:g} average ratings"
            " added."
        )
        limit = f"Few people have rated it. {CHOSE}"
        yield Insight(text, "hidden_gems", f"{movie['ratings']:,} ratings.", limit)


def _polarising(movies: pd.DataFrame) -> Iterator[Insight]:
    for movie in movies.head(OF_EACH).to_dict("records"):
        text = (
            f"Opinions divide over {movie['title']}: a standard deviation of"
            f" {movie['standard_deviation']:.2f} stars around a mean of"
            f" {movie['mean_stars']:.2f}. Recommend it by taste, not by its mean."
        )
        yield Insight(text, "polarising", f"{movie['ratings']:,} ratings.", CHOSE)


def _tail(exploration: Exploration) -> Iterator[Insight]:
    totals = exploration.totals
    share = totals["movies_with_half"] / totals["movies"]
    text = (
        f"Half of all ratings go to {totals['movies_with_half']:,} of {totals['movies']:,} movies"
        f" ({formatted(share, 'percent')}): without recommendations the others are hard to find."
    )
    support = f"{totals['ratings']:,} ratings."
    yield Insight(text, "ratings_per_movie", support, "Movies without ratings are not counted.")


def evaluation_insights(metrics: Metrics, segments: Mapping[str, pd.DataFrame]) -> list[Insight]:
    """Insights on the gain over baselines, the weakest groups and new users."""
    return [
        *_gain(metrics),
        *_weakest(metrics, segments),
        *_new(metrics),
    ]


def _gain(metrics: Metrics) -> Iterator[Insight]:
    baselines = {name: each.auc for name, each in metrics.baselines.items() if each.auc is not None}
    if metrics.auc is None or not baselines:
        return
    best = max(baselines, key=lambda name: baselines[name])
    text = (
        "Of a like and another rating, the model ranks the like higher in"
        f" {formatted(metrics.auc, 'percent')} of pairs; the best baseline, {best.replace('_', ' ')}, in"
        f" {formatted(baselines[best], 'percent')}."
    )
    support = f"{metrics.rows:,} ratings by {metrics.people:,} people."
    yield Insight(text, "side-by-side", support, "Measured on ratings that people chose to make.")


def _weakest(metrics: Metrics, segments: Mapping[str, pd.DataFrame]) -> Iterator[Insight]:
    """Groups whose interval is entirely below the overall AUC, the lowest first."""
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
        support = f"{int(group['ratings']):,} ratings{_by(group['people'])}."
        limit = "Among many groups, some look weak by chance."
        yield Insight(text, f"by-{group['segment'].replace('_', '-')}", support, limit)


def _by(people: Any) -> str:
    """Nothing if the number of people may not be shown."""
    return "" if pd.isna(people) else f" by {int(people):,} people"


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
        f" {formatted(known.auc, 'ratio')}: asking new users for a few ratings helps a lot."
    )
    support = f"{new.rows:,} first ratings of {new.people:,} people."
    yield Insight(text, "cold-start", support, "New people may differ from those who stayed.")
