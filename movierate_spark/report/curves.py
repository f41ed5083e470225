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
UNIT_RANGE = (-0.01, 1.01)


def roc(bins: Mapping[str, pd.DataFrame], metrics: Measurement) -> Figure:
    """ROC curves of the model and of the baselines that rank."""
    series, data = [], []
    for name, auc in _ranked(metrics):
        called = _cumulative(bins[name])
        recall, fall_out = _share(called["tp"]), _share(called["fp"])
        series.append((f"{words(name)} ({formatted(auc, 'ratio')})", fall_out.tolist(), recall.tolist()))
        data.append(called.assign(model=name, true_positive_rate=recall, false_positive_rate=fall_out))
    chart = charts.lines(
        series, x_title="False positive rate", y_title="True positive rate", diagonal=True,
        form=(".0%", ".0%"), height=460, x_range=UNIT_RANGE, y_range=UNIT_RANGE,
    )  # fmt: skip
    text = (
        "For every threshold: the share of likes predicted as liked (true positives), and the share of other"
        " ratings predicted as liked (false positives). In brackets: the area under the curve (AUC), the"
        " probability that a like is ranked above another rating."
    )
    alt = f"A curve for each model; the area under this model's is {formatted(metrics.auc, 'ratio')}."
    columns = ["model", "threshold", "true_positive_rate", "false_positive_rate"]
    return Figure("roc", "ROC", text, alt, chart, pd.concat(data)[columns])


def precision_recall(bins: Mapping[str, pd.DataFrame], metrics: Measurement) -> Figure:
    """Precision-recall curves of the model and of the baselines that rank."""
    series, data = [], []
    for name, value in _ranked(metrics, "auc_pr"):
        called = _cumulative(bins[name])
        # The first row has no predictions, and so no precision.
        called = called.assign(recall=_share(called["tp"])).iloc[1:]
        precision, recall = called["tp"] / (called["tp"] + called["fp"]), called["recall"]
        series.append((f"{words(name)} ({formatted(value, 'ratio')})", recall.tolist(), precision.tolist()))
        data.append(called.assign(model=name, precision=precision))
    chart = charts.lines(
        series,
        x_title="Recall: share of likes predicted as liked",
        y_title="Precision: share of likes among them",
        form=(".0%", ".0%"),
    )
    text = (
        "For every threshold: how many of the ratings predicted as liked are likes, by the share of likes"
        " among them. In brackets: the area under the curve."
    )
    alt = "Precision by recall: a curve for each model."
    columns = ["model", "threshold", "precision", "recall"]
    return Figure("precision-recall", "Precision and recall", text, alt, chart, pd.concat(data)[columns])


def calibration(bins: pd.DataFrame, *, min_cell: int) -> Figure:
    """The like rate by mean probability, in about 20 bins, and the number of ratings in each."""
    counted = bins.assign(ratings=bins["liked"] + bins["disliked"])
    ratings_per_bin = max(int(counted["ratings"].sum()) // CALIBRATION_BINS, 1)
    at_least = {"people": min_cell, "ratings": ratings_per_bin}
    wide = merged(counted, at_least=at_least, overlapping=True)
    data = pd.DataFrame(
        {
            "probability": wide["expected"] / wide["ratings"],
            "like_rate": wide["liked"] / wide["ratings"],
            "ratings": wide["ratings"],
        }
    )
    chart = charts.calibration(data)
    text = (
        "Of ratings with a probability of 70%, 70% should be likes: the model is calibrated where the dots"
        " are on the dotted line. Below: the number of ratings of each dot."
    )
    gap = (data["probability"] - data["like_rate"]).abs().max()
    alt = (
        f"Dots near the diagonal; the farthest is {formatted(100 * gap, 'decimal')} points off."
        if len(data)
        else ""
    )
    return Figure("calibration", "Calibration", text, alt, chart, data)


def distribution(bins: pd.DataFrame) -> Figure:
    """The distribution of probabilities of likes and of other ratings."""
    middle = (bins["first"] + bins["last"]) / 2
    width = (bins["last"] - bins["first"]) * 100
    series = [
        (name, middle.tolist(), (bins[column] / max(bins[column].sum(), 1) / width).tolist())
        for name, column in (("likes", "liked"), ("other ratings", "disliked"))
    ]
    chart = charts.lines(
        series, x_title="Probability of liking", y_title="Share per point", form=(".0%", ".1%"), height=320
    )
    text = "The probabilities of likes and of other ratings: the less they overlap, the better."
    data = bins[["first", "last", "liked", "disliked"]].rename(
        columns={"first": "probability_from", "last": "probability_to"}
    )
    alt = "Two curves over the probability: one for likes, one for other ratings."
    return Figure("distribution", "Scores of likes and of other ratings", text, alt, chart, data)


def trade_off(bins: pd.DataFrame, *, threshold: float) -> Figure:
    """Metrics at other thresholds."""
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
        series, x_title="Predicted as liked from this probability on", y_title="", form=(".0%", ".0%")
    )
    chart.add_vline(x=threshold, line={"color": charts.SOFT, "width": 1, "dash": "dot"})
    text = f"Metrics at other thresholds. The dotted line is the bundle's threshold, {threshold:.3f}."
    alt = "Lines for accuracy, precision, recall and F1 over the threshold."
    table = as_text(data.rename(columns={"threshold": "Threshold"}).round({"Threshold": 3}), {})
    return Figure("trade-off", "Metrics by threshold", text, alt, chart, data, table)


def _cumulative(bins: pd.DataFrame) -> pd.DataFrame:
    """True and false positives at each threshold, the highest first; the first row has none."""
    down = bins.iloc[::-1]
    return pd.DataFrame(
        {
            "threshold": [1.0, *down["first"]],
            "tp": [0, *down["liked"].cumsum()],
            "fp": [0, *down["disliked"].cumsum()],
        }
    )


def _ranked(metrics: Measurement, metric: str = "auc") -> list[tuple[str, Any]]:
    """The model and the baselines that rank, each with a metric."""
    ranking = {name: each for name, each in metrics.baselines.items() if each.auc not in (None, 0.5)}
    return [(name, each.metric(metric)) for name, each in {MODEL: metrics, **ranking}.items()]


def _share(counts: pd.Series) -> pd.Series:
    return counts.astype(float) / max(int(counts.iloc[-1]), 1)
