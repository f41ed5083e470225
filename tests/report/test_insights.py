"""Sentences of the reports: made from their figures, silent without enough behind them."""

from __future__ import annotations

from typing import Any

import pandas as pd
from documents import INTERVALS, cold_start, figures, metrics

from movierate_spark.exploration import Exploration
from movierate_spark.report.insights import evaluation_insights, exploration_insights
from movierate_spark.report.segments import segment
from movierate_spark.storage.documents import ColdStart

TOTALS = {"people": 100, "ratings": 5000, "liked": 3000, "movies": 400, "movies_with_half": 40}
PAIR = {
    "attribute": "age_group", "genre": "War", "group": "56+", "people": 30, "ratings": 200, "liked": 150,
    "like_rate": 0.75, "genre_like_rate": 0.6, "difference": 0.15, "difference_low": 0.1,
    "difference_high": 0.2, "group_difference": 0.02, "q_value": 0.001,
}  # fmt: skip
MOVIE = {"title": "A", "ratings": 60, "mean_stars": 4.5, "like_rate": 0.9}


def exploration(pairs: list[dict[str, Any]], movies: list[dict[str, Any]]) -> Exploration:
    tables = {
        "differences": pd.DataFrame(pairs, columns=list(PAIR)),
        "hidden_gems": pd.DataFrame(movies, columns=[*MOVIE, "shrunk_like_rate"]),
        "polarising": pd.DataFrame(movies, columns=[*MOVIE, "standard_deviation"]),
    }
    return Exploration(TOTALS, tables)


def test_a_pair_is_promoted_with_its_interval_support_and_limit() -> None:
    promoted, *_ = exploration_insights(exploration([PAIR], []), shrinkage=8.0)
    assert promoted.text == (
        "Promote War to people aged 56+: they like 75.0% of what they rate of it, against 60.0% among"
        " everybody,"
        " a difference of 15.0 points (95% interval 10.0 to 20.0)."
    )
    assert promoted.support == (
        "200 ratings by 30 people; over all genres the group's like rate differs by +2.0 points."
    )
    assert promoted.limit == "Holds for those who chose to rate it."
    assert promoted.figure == "differences"


def test_a_group_that_likes_everything_more_is_not_promoted_to() -> None:
    generous = {**PAIR, "group_difference": 0.11}  # within the interval
    texts = [insight.text for insight in exploration_insights(exploration([generous], []), shrinkage=8.0)]
    assert not any(text.startswith("Promote") for text in texts)


def test_a_pair_liked_less_is_one_to_think_twice_about() -> None:
    less = {**PAIR, "like_rate": 0.45, "difference": -0.15, "difference_low": -0.2, "difference_high": -0.1}
    first, *_ = exploration_insights(exploration([less], []), shrinkage=8.0)
    assert first.text.startswith("Think twice before recommending War to people aged 56+: they like 45.0%")
    assert first.text.endswith("a difference of 15.0 points (95% interval 10.0 to 20.0).")


def test_without_data_behind_them_there_are_no_sentences_about_groups_and_movies() -> None:
    (tail,) = exploration_insights(exploration([], []), shrinkage=8.0)
    assert tail.text.startswith("Half of all ratings go to 40 of 400 movies (10.0%)")


def test_movies_are_named_with_what_orders_them() -> None:
    movie = {**MOVIE, "shrunk_like_rate": 0.85, "standard_deviation": 1.5}
    gem, divided, _ = exploration_insights(exploration([], [movie]), shrinkage=8.0)
    assert gem.text == "Hidden gem: A is liked in 90.0% of its ratings, 85.0% with 8 average ratings added."
    assert divided.text == (
        "Opinions divide over A: a standard deviation of 1.50 stars around a mean of 4.50."
        " Recommend it by taste, not by its mean."
    )


def weak_segments(high: float) -> dict[str, pd.DataFrame]:
    intervals = {**INTERVALS, "auc": [0.5, high]}
    return {
        "gender": segment(
            {"F": figures(400, auc=0.6, intervals=intervals)}, people=400, min_cell=11, overlapping=False
        )
    }


def test_a_number_of_people_that_may_not_be_shown_is_left_out() -> None:
    intervals = {**INTERVALS, "auc": [0.5, 0.7]}
    values = {"Drama": figures(400, auc=0.6, intervals=intervals, people=97)}
    table = segment(values, people=100, min_cell=11, overlapping=True)
    (weak,) = [each for each in evaluation_insights(metrics(), {"genre": table}) if "weaker" in each.text]
    assert weak.support == "400 ratings."
    hidden = {**PAIR, "people": pd.NA}
    first, *_ = exploration_insights(exploration([hidden], []), shrinkage=8.0)
    assert " people;" not in first.support
    assert "nan" not in first.support


def test_a_group_is_weak_where_its_whole_interval_lies_below() -> None:
    texts = [each.text for each in evaluation_insights(metrics(), weak_segments(0.74))]
    assert (
        "The model is weaker for people of gender F: an AUC of 0.600 (95% interval 0.500 to 0.740) against"
        " 0.750"
        " over all. Trust its ranking less there."
    ) in texts
    texts = [each.text for each in evaluation_insights(metrics(), weak_segments(0.76))]
    assert not any("weaker" in text for text in texts)


def texts_of(newcomers: ColdStart) -> list[str]:
    cold = {"known user/known movie": cold_start(500), "new user/known movie": newcomers}
    return [each.text for each in evaluation_insights(metrics(cold_start=cold), weak_segments(1.0))]


def test_new_users_are_spoken_of_where_they_are_many_and_surely_ranked_worse() -> None:
    below = {**INTERVALS, "auc": [0.6, 0.69]}
    many = cold_start(120, auc=0.65, intervals=below)
    few = cold_start(120, auc=0.65, intervals=below, people=49)
    start = "For users without a single rating the AUC is 0.650, for known ones 0.750"
    assert any(text.startswith(start) for text in texts_of(many))
    assert not any("without a single" in text for text in texts_of(few))
    assert not any("without a single" in text for text in texts_of(cold_start(120, auc=0.65)))
