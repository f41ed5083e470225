"""Figures over all thresholds, from the histogram of probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from movierate_spark.disclosure import merged
from movierate_spark.report import charts
from movierate_spark.report.page import Figure, formatted
from movierate_spark.report.wording import MODEL, TITLES, as_text, words
from movierate_spark.storage.documents import Measurement

CALIBRATION_BINS = 20
WHOLE = (-0.01, 1.01)


def roc(bins: Mapping[str, pd.DataFrame], metrics: Measurement) -> Figure:
    """Likes found by other ratings called liked, of the model and the baselines that rank."""
    series, data = [], []
    for name, auc in _ranked(metrics):
        called = _cumulative(bins[name])
        recall, fall_out = _share(called["tp"]), _share(called["fp"])
        series.append((f"{words(name)} ({formatted(auc, 'ratio')})", fall_out.tolist(), recall.tolist()))
        data.append(called.assign(model=name, true_positive_rate=recall, false_positive_rate=fall_out))
    chart = charts.lines(
        series, x_title="Share of the others called liked", y_title="Share of the likes found", diagonal=True,
        form=(".0%", ".0%"), height=460, x_range=WHOLE, y_range=WHOLE,
    )  # fmt: skip
    text = (
        "For every threshold: how many of the likes are found, and how many of the others are called liked"
        " with them."
        " In brackets the area below, the chance that a like is ranked above another rating."
    )
    alt = f"Curve above the diagonal; the model's area is {formatted(metrics.auc, 'ratio')}."
    columns = ["model", "threshold", "true_positive_rate", "false_positive_rate"]
    return Figure("roc", "ROC", text, alt, chart, pd.concat(data)[columns])


def precision_recall(bins: Mapping[str, pd.DataFrame], metrics: Measurement) -> Figure:
    """Precision by recall, of the same."""
    series, data = [], []
    for name, value in _ranked(metrics, "auc_pr"):
        called = _cumulative(bins[name])
        called = called.assign(recall=_share(called["tp"])).iloc[
            1:
        ]  # of nothing called there is no precision
        precision, recall = called["tp"] / (called["tp"] + called["fp"]), called["recall"]
        series.append((f"{words(name)} ({formatted(value, 'ratio')})", recall.tolist(), precision.tolist()))
        data.append(called.assign(model=name, precision=precision))
    chart = charts.lines(
        series,
        x_title="Recall: share of the likes found",
        y_title="Precision: share of likes",
        form=(".0%", ".0%"),
    )
    text = (
        "How pure the ratings called liked are, the more of the likes are to be found."
        " In brackets the area below."
    )
    alt = "Curves falling from few ratings that are sure to all of them."
    columns = ["model", "threshold", "precision", "recall"]
    return Figure("precision-recall", "Precision and recall", text, alt, chart, pd.concat(data)[columns])


def calibration(bins: pd.DataFrame, *, min_cell: int) -> Figure:
    """The share liked by mean probability, in about 20 bins, and how many ratings stand behind it."""
    counted = bins.assign(ratings=bins["liked"] + bins["disliked"])
    each = max(int(counted["ratings"].sum()) // CALIBRATION_BINS, 1)
    wide = merged(counted, at_least={"people": min_cell, "ratings": each}, overlapping=True)
    data = pd.DataFrame(
        {
            "probability": wide["expected"] / wide["ratings"],
            "like_rate": wide["liked"] / wide["ratings"],
            "ratings": wide["ratings"],
        }
    )
    chart = charts.calibration(data)
    text = (
        "Of ratings given a probability of 70%, 70% should be likes:"
        " on the dotted line the model keeps its word. Below, how many ratings each dot stands for."
    )
    gap = (data["probability"] - data["like_rate"]).abs().max()
    alt = (
        f"Dots near the diagonal; the farthest is {formatted(100 * gap, 'decimal')} points off."
        if len(data)
        else ""
    )
    return Figure("calibration", "Does a probability keep its word?", text, alt, chart, data)


def distribution(bins: pd.DataFrame) -> Figure:
    """Which probabilities likes and other ratings were given."""
    middle = (bins["first"] + bins["last"]) / 2
    width = (bins["last"] - bins["first"]) * 100
    series = [
        (name, middle.tolist(), (bins[column] / max(bins[column].sum(), 1) / width).tolist())
        for name, column in (("likes", "liked"), ("other ratings", "disliked"))
    ]
    chart = charts.lines(
        series, x_title="Probability of liking", y_title="Share per point", form=(".0%", ".1%"), height=320
    )
    text = "Which probabilities likes and other ratings were given: the less the two overlap, the better."
    data = bins[["first", "last", "people", "liked", "disliked"]].rename(
        columns={"first": "probability_from", "last": "probability_to"}
    )
    alt = "Two humps: other ratings to the left, likes to the right."
    return Figure("distribution", "Scores of likes and of other ratings", text, alt, chart, data)


def trade_off(bins: pd.DataFrame, *, threshold: float) -> Figure:
    """What another threshold would bring."""
    called = _cumulative(bins).iloc[1:].sort_values("threshold")
    tp, fp = called["tp"], called["fp"]
    positives, negatives = bins["liked"].sum(), bins["disliked"].sum()
    data = pd.DataFrame(
        {
            "threshold": called["threshold"],
            "accuracy": (tp + negatives - fp) / (positives + negatives),
            "precision": tp / (tp + fp),
            "recall": tp / max(positives, 1),
            "f1": 2 * tp / (tp + fp + positives),
        }
    )
    names = ("accuracy", "precision", "recall", "f1")
    series = [(TITLES[name], data["threshold"].tolist(), data[name].tolist()) for name in names]
    chart = charts.lines(
        series, x_title="Called liked from this probability on", y_title="", form=(".0%", ".0%")
    )
    chart.add_vline(x=threshold, line={"color": charts.SOFT, "width": 1, "dash": "dot"})
    text = f"What another threshold would bring. The dotted line is the bundle's, {threshold:.3f}."
    alt = "Lines for accuracy, precision, recall and F1 over the threshold."
    table = as_text(data.rename(columns={"threshold": "Threshold"}).round({"Threshold": 2}), {})
    return Figure("trade-off", "The threshold's trade-off", text, alt, chart, data, table)


def _cumulative(bins: pd.DataFrame) -> pd.DataFrame:
    """At each threshold, highest first: likes and others called liked, starting from none."""
    down = bins.iloc[::-1]
    return pd.DataFrame(
        {
            "threshold": [1.0, *down["first"]],
            "tp": [0, *down["liked"].cumsum()],
            "fp": [0, *down["disliked"].cumsum()],
        }
    )


def _ranked(metrics: Measurement, metric: str = "auc") -> list[tuple[str, Any]]:
    """The model and the baselines that rank at all."""
    ranking = {name: each for name, each in metrics.baselines.items() if each.auc not in (None, 0.5)}
    return [(name, each.metric(metric)) for name, each in {MODEL: metrics, **ranking}.items()]


def _share(counts: pd.Series) -> pd.Series:
    return counts.astype(float) / max(int(counts.iloc[-1]), 1)
