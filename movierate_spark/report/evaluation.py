"""The report of ``evaluate``: how good the model is, for whom, and what it goes by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from movierate_spark.disclosure import merged, shown
from movierate_spark.metrics import METRICS
from movierate_spark.report import charts
from movierate_spark.report.insights import STANDARD_STEP, evaluation_insights
from movierate_spark.report.page import Figure, Report, formatted, render

TITLES = {
    "auc": "AUC",
    "log_loss": "Log loss",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "auc_pr": "AUC-PR",
    "brier": "Brier",
    "ece": "Calibration error",
}
MODEL = "model"
SURE = ("auc", "log_loss", "accuracy", "precision", "recall", "f1", "brier")
CALIBRATION_BINS = 20
STRONGEST = 30
WHOLE = (-0.01, 1.01)
Z = float(stats.norm.isf(0.025))


def evaluation_report(
    metrics: Mapping[str, Any], manifest: Mapping[str, Any], *, histogram: pd.DataFrame, min_cell: int
) -> Report:
    """The report as HTML with its tables, from ``metrics.json``, the bundle's manifest and a histogram.

    ``histogram`` has a row per model and hundredth of probability (see ``evaluate.score_histogram``).
    """
    bins = {
        str(model): merged(part.drop(columns="model"), at_least={"people": min_cell}, overlapping=True)
        for model, part in histogram.groupby("model")
    }
    segments = {name: _segment(values, min_cell=min_cell) for name, values in metrics["segments"].items()}
    coefficients = _coefficients(manifest["coefficients"])
    parts = {
        "Overall": [
            _side_by_side(metrics),
            _roc(bins, metrics),
            _precision_recall(bins, metrics),
            _calibration(bins[MODEL], min_cell=min_cell),
            _distribution(bins[MODEL]),
            _trade_off(bins[MODEL], threshold=metrics["threshold"]),
        ],
        "Whom it serves": [
            _new_and_known(metrics["cold_start"], min_cell=min_cell),
            *(_by_segment(name, table, metrics["auc"]) for name, table in segments.items()),
        ],
        "What it goes by": [_odds_ratios(coefficients, manifest), _path(manifest["cross_validation"])],
    }
    if "leakage_cost" in metrics:
        parts["Overall"].append(_leakage(metrics["leakage_cost"]))
    return render(
        "evaluation.html.j2",
        [figure for figures in parts.values() for figure in figures],
        metrics=metrics,
        manifest=manifest,
        cards=[(TITLES[name], metrics[name], metrics["intervals"][name]) for name in SURE[:6]],
        insights=evaluation_insights(metrics, segments, coefficients),
        min_cell=min_cell,
        contents={part: [figure.id for figure in figures] for part, figures in parts.items()},
    )


def _side_by_side(metrics: Mapping[str, Any]) -> Figure:
    sources = {MODEL: metrics, **metrics["baselines"]}
    if other := metrics.get("against"):
        sources[f"against {other['model_version']}"] = other
    data = pd.DataFrame([[name, *(source[x] for x in METRICS)] for name, source in sources.items()])
    data.columns = ["model", *METRICS]
    ranges = {name: metrics["intervals"][name] for name in METRICS}
    table = _as_text(data, {0: ranges})
    if other:
        gaps = pd.DataFrame(
            [["difference", *(other["difference"][x] for x in METRICS)]], columns=data.columns
        )
        table = pd.concat([table, _as_text(gaps, {0: other["difference_intervals"]}, form="signed")])
    labels = [_words(name) for name in data["model"]]
    chart = charts.panels(
        labels, {TITLES[name]: data[name] for name in ("auc", "log_loss", "accuracy", "f1")}
    )
    text = (
        "The model and what it must beat, on the same ratings: saying liked always, the movie's mean as of"
        " the rating,"
        " and the user's mean with it. Less is better for log loss, Brier score and calibration error."
    )
    alt = "Dots for four metrics, the model beside each baseline."
    return Figure("side-by-side", "Beside simple baselines", text, alt, chart, data, table)


def _as_text(
    data: pd.DataFrame, ranges: Mapping[int, Mapping[str, Any]], form: str = "metric"
) -> pd.DataFrame:
    """Metrics as text, with their intervals in the rows that have some."""
    rows = []
    for i, row in enumerate(data.to_dict("records")):
        rows.append(
            [
                _with_range(value, ranges.get(i, {}).get(str(name)), form)
                if name in METRICS
                else _words(value)
                for name, value in row.items()
            ]
        )
    return pd.DataFrame(rows, columns=[TITLES.get(str(name), str(name)) for name in data.columns])


def _with_range(value: Any, interval: list[float] | None, form: str = "metric") -> str:
    if interval is None:
        return formatted(value, form)
    return f"{formatted(value, form)} ({' to '.join(formatted(end, form) for end in interval)})"


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


def _roc(bins: Mapping[str, pd.DataFrame], metrics: Mapping[str, Any]) -> Figure:
    series, data = [], []
    for name, auc in _ranked(metrics):
        called = _cumulative(bins[name])
        recall, fall_out = _share(called["tp"]), _share(called["fp"])
        series.append((f"{_words(name)} ({formatted(auc, 'ratio')})", fall_out.tolist(), recall.tolist()))
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
    alt = f"Curve above the diagonal; the model's area is {formatted(metrics['auc'], 'ratio')}."
    columns = ["model", "threshold", "true_positive_rate", "false_positive_rate"]
    return Figure("roc", "ROC", text, alt, chart, pd.concat(data)[columns])


def _ranked(metrics: Mapping[str, Any], metric: str = "auc") -> list[tuple[str, Any]]:
    """The model and the baselines that rank at all."""
    ranking = [name for name, values in metrics["baselines"].items() if values["auc"] not in (None, 0.5)]
    return [(MODEL, metrics[metric]), *((name, metrics["baselines"][name][metric]) for name in ranking)]


def _share(counts: pd.Series) -> pd.Series:
    return counts.astype(float) / max(int(counts.iloc[-1]), 1)


def _precision_recall(bins: Mapping[str, pd.DataFrame], metrics: Mapping[str, Any]) -> Figure:
    series, data = [], []
    for name, value in _ranked(metrics, "auc_pr"):
        called = _cumulative(bins[name])
        called = called.assign(recall=_share(called["tp"])).iloc[
            1:
        ]  # of nothing called there is no precision
        precision, recall = called["tp"] / (called["tp"] + called["fp"]), called["recall"]
        series.append((f"{_words(name)} ({formatted(value, 'ratio')})", recall.tolist(), precision.tolist()))
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


def _calibration(bins: pd.DataFrame, *, min_cell: int) -> Figure:
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
    chart = charts.lines(
        [("model", data["probability"].tolist(), data["like_rate"].tolist())],
        x_title="Mean probability", y_title="Share that was liked", diagonal=True, markers=True,
        form=(".0%", ".0%"), height=420, x_range=WHOLE, y_range=WHOLE,
    )  # fmt: skip
    text = (
        "Of ratings given a probability of 70%, 70% should be likes:"
        " on the dotted line the model keeps its word."
    )
    gap = (data["probability"] - data["like_rate"]).abs().max()
    alt = (
        f"Dots near the diagonal; the farthest is {formatted(100 * gap, 'decimal')} points off."
        if len(data)
        else ""
    )
    return Figure("calibration", "Does a probability keep its word?", text, alt, chart, data)


def _distribution(bins: pd.DataFrame) -> Figure:
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


def _trade_off(bins: pd.DataFrame, *, threshold: float) -> Figure:
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
    table = _as_text(data.rename(columns={"threshold": "Threshold"}).round({"Threshold": 2}), {})
    return Figure("trade-off", "The threshold's trade-off", text, alt, chart, data, table)


def _segment(values: Mapping[str, Mapping[str, Any]], *, min_cell: int) -> pd.DataFrame:
    """A row per value that may be shown: metrics, ``people``, ``rows`` and ends of the intervals."""
    rows = [
        {
            "value": value,
            "people": found["people"],
            "ratings": found["rows"],
            **{name: found[name] for name in METRICS},
            **{
                f"{name}_{end}": (found["intervals"].get(name) or (math.nan, math.nan))[i]
                for name in SURE
                for i, end in enumerate(("low", "high"))
            },
        }
        for value, found in sorted(values.items())
    ]
    ends = [f"{name}_{end}" for name in SURE for end in ("low", "high")]
    table = pd.DataFrame(rows, columns=["value", "people", "ratings", *METRICS, *ends])
    numbers = ["people", "ratings", *METRICS, *ends]
    table[numbers] = table[numbers].astype(float)
    return table[shown(table, within=(), min_cell=min_cell)].reset_index(drop=True)


def _segment_text(table: pd.DataFrame) -> pd.DataFrame:
    ranges = {
        i: {name: [row[f"{name}_low"], row[f"{name}_high"]] for name in SURE if pd.notna(row[f"{name}_low"])}
        for i, row in enumerate(table.to_dict("records"))
    }
    text = _as_text(table[["value", *METRICS]], ranges)
    text.insert(1, "people", table["people"].to_numpy())
    text.insert(2, "ratings", table["ratings"].to_numpy())
    return text


def _by_segment(name: str, table: pd.DataFrame, overall: float | None) -> Figure:
    table = table.sort_values(["auc", "value"], ascending=[False, True], ignore_index=True)
    chart = charts.rows(
        table["value"], table["auc"], low=table["auc_low"], high=table["auc_high"], reference=overall,
        title="AUC", form=".3f",
    )  # fmt: skip
    text = "AUC with 95% intervals (by user); the dotted line is the AUC over all ratings."
    if name == "genre":
        text += " A film counts in each of its genres."
    alt = "No data."
    if len(table):
        ends = [f"{table['value'].iloc[i]} {formatted(table['auc'].iloc[i], 'ratio')}" for i in (0, -1)]
        alt = f"Dots from the best, {ends[0]}, to the weakest, {ends[1]}."
    return Figure(
        f"by-{name.replace('_', '-')}", f"By {_words(name)}", text, alt, chart, table, _segment_text(table)
    )


def _new_and_known(cold: Mapping[str, Mapping[str, Any]], *, min_cell: int) -> Figure:
    table = _segment(cold, min_cell=min_cell)
    rows = []
    for value in table["value"]:
        sources = {MODEL: cold[value], **cold[value]["baselines"]}
        rows += [
            [value, name, cold[value]["rows"], *(x[each] for each in METRICS)] for name, x in sources.items()
        ]
    data = pd.DataFrame(rows, columns=["who", "model", "ratings", *METRICS])
    text = "New: without a single rating as of the request. Baselines stand on the same ratings."
    shown_text = _as_text(
        data[["who", *METRICS]].assign(who=data["who"] + ": " + data["model"].map(_words)), {}
    )
    shown_text.insert(1, "ratings", data["ratings"].to_numpy())
    return Figure("cold-start", "New and known users and movies", text, "", None, data, shown_text)


def _coefficients(entries: list[dict[str, Any]]) -> pd.DataFrame:
    """A row per coefficient that is not zero, strongest first, as odds ratios of one step of its feature."""
    columns = ["feature", "coefficient", "standard_error", "deviation", "indicator"]
    found = pd.DataFrame(entries, columns=columns)
    found = found[found["coefficient"] != 0].reset_index(drop=True)
    step = np.where(found["indicator"].astype(bool), 1.0, found["deviation"].astype(float))
    error = found["standard_error"].astype(float)
    log_odds = found["coefficient"] * step
    table = pd.DataFrame(
        {
            "feature": found["feature"],
            "step": np.where(found["indicator"].astype(bool), "yes against no", STANDARD_STEP),
            "coefficient": found["coefficient"],
            "standard_error": error,
            "odds_ratio": np.exp(log_odds),
            "odds_ratio_low": np.exp(log_odds - Z * error * step),
            "odds_ratio_high": np.exp(log_odds + Z * error * step),
        }
    )
    strength = log_odds.abs()
    return table.iloc[np.lexsort((table["feature"], -strength))].reset_index(drop=True)


def _odds_ratios(table: pd.DataFrame, manifest: Mapping[str, Any]) -> Figure:
    first = table.head(STRONGEST)
    chart = charts.rows(
        first["feature"], first["odds_ratio"], low=first["odds_ratio_low"], high=first["odds_ratio_high"],
        reference=1.0, log=True, title="Odds ratio (logarithmic)", form=".2f",
    )  # fmt: skip
    text = (
        "What one step of a feature multiplies the odds of liking by, all others held: a step is yes"
        " against no, or one"
        f" standard deviation. The {len(first)} strongest of {len(table)}; all of them are in the numbers."
    )
    if table["standard_error"].notna().any():
        text += (
            " The 95% intervals are approximate: from the observed information at the fit with its penalty,"
            " as if"
            " ratings were independent."
        )
    elif manifest["params"]["elasticNetParam"] > 0:
        text += " A lasso leaves no intervals."
    alt = (
        f"Dots by feature; the strongest is {first['feature'].iloc[0]}." if len(first) else "No coefficient."
    )
    return Figure("odds-ratios", "Coefficients as odds ratios", text, alt, chart, table)


def _path(path: list[dict[str, Any]]) -> Figure:
    data = pd.DataFrame(
        [
            {
                **{name: point[name] for name in ("regParam", "elasticNetParam", "log_loss")},
                **{f"fold_{i + 1}": value for i, value in enumerate(point["folds"])},
                **{name: point[name] for name in ("difference", "standard_error", "chosen")},
            }
            for point in path
        ]
    ).sort_values(["elasticNetParam", "regParam"], ignore_index=True)
    folds = [name for name in data.columns if name.startswith("fold_")]
    series = []
    for mixing, part in data.groupby("elasticNetParam"):
        named = "" if data["elasticNetParam"].nunique() == 1 else f", elastic net {mixing:g}"
        for fold in ("log_loss", *folds):
            label = "mean" if fold == "log_loss" else _words(fold)
            gap = part[fold] - part[fold].min()
            series.append((f"{label}{named}", part["regParam"].tolist(), gap.tolist()))
    positive = bool((data["regParam"] > 0).all())
    chart = charts.lines(
        series, x_title="regParam", y_title="Log loss above its least", log=(positive, False), markers=True,
        form=(None, ".4f"),
    )  # fmt: skip
    chosen = data[data["chosen"]].iloc[0]
    text = (
        f"Cross-validation over {len(folds)} folds, none of which trains on its future. Each penalty is"
        " compared with"
        " the best one on the same rows; the strongest within one standard error of it is taken:"
        f" {chosen['regParam']:g}."
    )
    table = data.map(lambda value: f"{value:.5g}" if isinstance(value, float) else value)
    return Figure(
        "penalty", "How the penalty was chosen", text, "Lines of log loss by penalty.", chart, data, table
    )


def _leakage(panel: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    data = pd.DataFrame(
        [
            [f"{_words(split)}, history {_words(history)}", *(values[name] for name in METRICS)]
            for split, histories in panel.items()
            for history, values in histories.items()
        ],
        columns=["way", *METRICS],
    )
    chart = charts.panels(
        list(data["way"]), {TITLES[name]: data[name] for name in ("auc", "log_loss", "accuracy")}
    )
    text = (
        "The same model, fitted anew four times with the same penalty. Only the first line says what it"
        " will do; the"
        " others show how much a flattering way to measure promises."
    )
    alt = "Dots for four ways to measure; looking ahead flatters."
    return Figure("leakage", "What looking ahead would buy", text, alt, chart, data, _as_text(data, {}))


def _words(name: object) -> str:
    return str(name).replace("_", " ")
