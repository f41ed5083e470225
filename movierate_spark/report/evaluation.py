"""The report of ``evaluate``: metrics overall and by group, and the model's coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.disclosure import merged
from movierate_spark.evaluation.ablation import ALL_THAT_RATINGS_TELL
from movierate_spark.evaluation.metrics import METRICS
from movierate_spark.report import charts, coefficients, curves, segments
from movierate_spark.report.insights import evaluation_insights
from movierate_spark.report.page import Figure, Report, render
from movierate_spark.report.wording import MODEL, TITLES, as_text, words
from movierate_spark.storage.documents import Ablation, Figures, Manifest, Metrics

CARDS = ("auc", "log_loss", "accuracy", "precision", "recall", "f1")


def evaluation_report(
    metrics: Metrics, manifest: Manifest, *, histogram: pd.DataFrame, min_cell: int
) -> Report:
    """The report with its tables, from ``metrics.json``, the bundle's manifest and a histogram.

    ``histogram`` has the columns of :func:`movierate_spark.evaluation.histogram.score_histogram` and
    ``model``.
    """
    if (metrics.people or 0) < min_cell:
        return render("too_few.html.j2", [], min_cell=min_cell)
    bins = {str(model): _bins(part, min_cell=min_cell) for model, part in histogram.groupby("model")}
    by_group = {
        name: segments.segment(
            values, people=metrics.people, min_cell=min_cell, overlapping=name not in DEMOGRAPHICS
        )
        for name, values in metrics.segments.items()
    }
    steps = coefficients.coefficient_steps(manifest.coefficients)
    parts = {
        "Overall": [
            _side_by_side(metrics),
            curves.roc(bins, metrics),
            curves.precision_recall(bins, metrics),
            curves.calibration(bins[MODEL], min_cell=min_cell),
            curves.distribution(bins[MODEL]),
            curves.trade_off(bins[MODEL], threshold=metrics.decision_threshold),
        ],
        "By group": [
            segments.new_and_known(metrics.cold_start, people=metrics.people, min_cell=min_cell),
            *(segments.by_segment(name, table, metrics.auc) for name, table in by_group.items()),
        ],
        "Coefficients": [
            coefficients.odds_ratios(steps, manifest),
            coefficients.penalty_path(manifest.cross_validation),
        ],
    }
    if metrics.leakage_cost:
        parts["Overall"].append(_leakage(metrics.leakage_cost))
    if metrics.ablation:
        parts["Coefficients"].append(_ablation(metrics.ablation))
    return render(
        "evaluation.html.j2",
        [figure for figures in parts.values() for figure in figures],
        metrics=metrics,
        manifest=manifest,
        cards=[(TITLES[name], metrics.metric(name), metrics.intervals[name]) for name in CARDS],
        insights=evaluation_insights(metrics, by_group),
        min_cell=min_cell,
        contents={part: [figure.id for figure in figures] for part, figures in parts.items()},
    )


def _bins(histogram: pd.DataFrame, *, min_cell: int) -> pd.DataFrame:
    """A model's bins, each large enough to be shown. One ends at the decision threshold.

    At the threshold, metrics tell exact numbers of likes: the bins must not tell those of a few people beside
    it. If the ratings on one side of it are those of too few people, they tell nothing that metrics do not.
    """
    large_enough = partial(merged, at_least={"people": min_cell}, overlapping=True)
    every = histogram.drop(columns=["model", "predicted_liked"], errors="ignore")
    sides = [large_enough(side) for _, side in every.groupby(histogram["predicted_liked"])]
    return large_enough(every) if any(side.empty for side in sides) else pd.concat(sides, ignore_index=True)


def _side_by_side(metrics: Metrics) -> Figure:
    sources: dict[str, Figures] = {MODEL: metrics, **metrics.baselines}
    if other := metrics.against:
        sources[f"against {other.model_version}"] = other
    data = pd.DataFrame([[name, *map(source.metric, METRICS)] for name, source in sources.items()])
    data.columns = ["model", *METRICS]
    ranges = {name: metrics.intervals[name] for name in METRICS}
    table = as_text(data, {0: ranges})
    if other:
        gaps = pd.DataFrame([["difference", *(other.difference[x] for x in METRICS)]], columns=data.columns)
        table = pd.concat([table, as_text(gaps, {0: other.difference_intervals}, form="change")])
    labels = [words(name) for name in data["model"]]
    chart = charts.panels(
        labels, {TITLES[name]: data[name] for name in ("auc", "log_loss", "accuracy", "f1")}
    )
    text = (
        "The model and its baselines on the same ratings. The baselines are: always predicting liked, the"
        " movie's mean as of the rating, and the means of movie and user. Lower is better for log loss, Brier"
        " score and calibration error."
    )
    alt = "Dots for four metrics, the model beside each baseline."
    return Figure("side-by-side", "The model and simple baselines", text, alt, chart, data, table)


def _leakage(panel: Mapping[str, Mapping[str, Figures]]) -> Figure:
    data = pd.DataFrame(
        [
            [f"{words(split)}, history {words(history)}", *map(values.metric, METRICS)]
            for split, histories in panel.items()
            for history, values in histories.items()
        ],
        columns=["way", *METRICS],
    )
    chart = charts.panels(
        list(data["way"]), {TITLES[name]: data[name] for name in ("auc", "log_loss", "accuracy")}
    )
    text = (
        "The same model, fitted four times with the same penalty. Only the first line shows what to expect in"
        " use; the others use information from the future."
    )
    alt = "Dots for four ways to evaluate."
    return Figure("leakage", "What looking ahead would gain", text, alt, chart, data, as_text(data, {}))


def _ablation(ablation: Sequence[Ablation]) -> Figure:
    names = ("auc", "log_loss", "accuracy")
    data = pd.DataFrame(
        [
            [each.without, each.features, round(each.seconds, 1), *(getattr(each, name) for name in names)]
            for each in ablation
        ],
        columns=["without", "features", "seconds", *names],
    )
    worth = pd.DataFrame([[each.difference[name] for name in names] for each in ablation], columns=names)
    ranges = {row: each.difference_intervals for row, each in enumerate(ablation[1:])}
    worth = as_text(worth[1:], ranges, form="change")
    table = as_text(data, {})
    for title in worth.columns:
        table[f"{title}: worth"] = ["", *worth[title]]
    drawn = data[data["without"] != ALL_THAT_RATINGS_TELL]  # so far from the others that they look alike
    labels = ["the whole model", *(f"without {name}" for name in drawn["without"][1:])]
    chart = charts.panels(labels, {TITLES[name]: drawn[name] for name in names})
    text = (
        "The same model, fitted again without each family of columns, before calibration. The model without"
        " all that ratings tell is in the numbers only. What a family is worth is the metric of the whole"
        " model minus that without it, with its 95% interval. Families can stand in for each other, so that"
        " two may be worth more together than one by one. The seconds are those of the fit, which starts from"
        " the whole model's coefficients."
    )
    alt = "Dots for three metrics, a line for each family of columns left out."
    return Figure("ablation", "What each family of columns is worth", text, alt, chart, data, table)
