"""Figures of metrics by group, without groups of too few people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from movierate_spark.disclosure import people_or_none, shown
from movierate_spark.evaluation.metrics import METRICS
from movierate_spark.report import charts
from movierate_spark.report.page import NO_DATA, Figure, formatted
from movierate_spark.report.wording import MODEL, as_text, words
from movierate_spark.storage.documents import ColdStart, Figures

WITH_INTERVALS = ("auc", "log_loss", "accuracy", "precision", "recall", "f1", "brier")


def segment(
    values: Mapping[str, Figures], *, people: int | None, min_cell: int, overlapping: bool
) -> pd.DataFrame:
    """A row per value that may be shown: metrics, ``people``, ``ratings`` and the ends of the intervals.

    Of all ``people``, the same ones may have ratings of several values if these are ``overlapping``. Numbers
    of people are missing where few others remain.
    """
    rows = [
        {
            "value": value,
            "people": figures.people,
            "ratings": figures.rows,
            **{name: figures.metric(name) for name in METRICS},
            **{
                f"{name}_{end}": (figures.intervals.get(name) or (math.nan, math.nan))[i]
                for name in WITH_INTERVALS
                for i, end in enumerate(("low", "high"))
            },
        }
        for value, figures in sorted(values.items())
    ]
    ends = [f"{name}_{end}" for name in WITH_INTERVALS for end in ("low", "high")]
    table = pd.DataFrame(rows, columns=["value", "people", "ratings", *METRICS, *ends])
    numbers = ["people", "ratings", *METRICS, *ends]
    table[numbers] = table[numbers].astype(float)
    sets: dict[str, Any] = {"within": (), "overlapping": ((),)} if overlapping else {}
    table = table[shown(table, **sets, min_cell=min_cell)].reset_index(drop=True)
    return table.assign(people=people_or_none(table["people"], total=people or 0, min_cell=min_cell))


def by_segment(name: str, table: pd.DataFrame, overall: float | None) -> Figure:
    """The figure of the AUC by group, best first."""
    table = table.sort_values(["auc", "value"], ascending=[False, True], ignore_index=True)
    chart = charts.rows(
        table["value"], table["auc"], low=table["auc_low"], high=table["auc_high"], reference=overall,
        title="AUC", form=".3f",
    )  # fmt: skip
    text = "AUC with 95% intervals (standard errors by user). The dotted line is the AUC over all ratings."
    if name == "genre":
        text += " A film counts in each of its genres."
    alt = NO_DATA
    if len(table):
        ends = [f"{table['value'].iloc[i]} {formatted(table['auc'].iloc[i], 'ratio')}" for i in (0, -1)]
        alt = f"Dots from the best, {ends[0]}, to the weakest, {ends[1]}."
    return Figure(
        f"by-{name.replace('_', '-')}", f"By {words(name)}", text, alt, chart, table, _segment_text(table)
    )


def new_and_known(cold: Mapping[str, ColdStart], *, people: int | None, min_cell: int) -> Figure:
    """The figure of metrics for new and known users and movies, with the baselines."""
    table = segment(cold, people=people, min_cell=min_cell, overlapping=True)
    rows = []
    for value in table["value"]:
        sources: dict[str, Figures] = {MODEL: cold[value], **cold[value].baselines}
        rows += [
            [value, name, cold[value].rows, *map(figures.metric, METRICS)]
            for name, figures in sources.items()
        ]
    data = pd.DataFrame(rows, columns=["who", "model", "ratings", *METRICS])
    text = "New: without any rating as of the request. The baselines are measured on the same ratings."
    shown_text = as_text(
        data[["who", *METRICS]].assign(who=data["who"] + ": " + data["model"].map(words)), {}
    )
    shown_text.insert(1, "ratings", data["ratings"].to_numpy())
    return Figure("cold-start", "New and known users and movies", text, "", None, data, shown_text)


def _segment_text(table: pd.DataFrame) -> pd.DataFrame:
    ranges = {
        i: {
            name: [row[f"{name}_low"], row[f"{name}_high"]]
            for name in WITH_INTERVALS
            if pd.notna(row[f"{name}_low"])
        }
        for i, row in enumerate(table.to_dict("records"))
    }
    text = as_text(table[["value", *METRICS]], ranges)
    text.insert(1, "people", table["people"].to_numpy())
    text.insert(2, "ratings", table["ratings"].to_numpy())
    return text
