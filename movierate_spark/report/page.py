"""Self-contained HTML pages: figures with their tables, and styles and scripts inline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from movierate_spark.report.charts import PALETTE

MISSING = "\N{EN DASH}"
NO_DATA = "No data."
HEADINGS: Mapping[str, tuple[str, str]] = {
    "first": ("From", "count"),
    "last": ("To", "count"),
    "people": ("People", "count"),
    "movies": ("Movies", "count"),
    "ratings": ("Ratings", "count"),
    "liked": ("Likes", "count"),
    "disliked": ("Other ratings", "count"),
    "like_rate": ("Like rate", "percent"),
    "genre_like_rate": ("Genre's like rate", "percent"),
    "shrunk_like_rate": ("Shrunk like rate", "percent"),
    "mean_stars": ("Mean stars", "decimal"),
    "standard_deviation": ("Standard deviation", "decimal"),
    "low": ("95% from", "percent"),
    "high": ("95% to", "percent"),
    "difference": ("Difference", "points"),
    "group_difference": ("Group's over all genres", "points"),
    "difference_low": ("95% from", "points"),
    "difference_high": ("95% to", "points"),
    "q_value": ("q", "small"),
    "p_value": ("p", "small"),
    "correlation": ("Correlation", "signed"),
    "coefficient": ("Coefficient", "signed"),
    "standard_error": ("Standard error", "small"),
    "odds_ratio": ("Odds ratio", "ratio"),
    "odds_ratio_low": ("95% from", "ratio"),
    "odds_ratio_high": ("95% to", "ratio"),
    "threshold": ("Threshold", "ratio"),
    "probability_from": ("Probability from", "ratio"),
    "probability_to": ("to", "ratio"),
    "probability": ("Mean probability", "percent"),
}


@dataclass(frozen=True)
class Figure:
    """A chart with its text and its numbers.

    ``data`` is written to ``figures/<id>.csv``. The page shows ``table`` if there is one, else ``data``.
    """

    id: str
    title: str
    text: str
    alt: str
    chart: go.Figure | None
    data: pd.DataFrame
    table: pd.DataFrame | None = None

    @property
    def spec(self) -> Markup:
        """The chart as JSON for the page's script, escaped so that it can't end its script element."""
        text = "" if self.chart is None else str(self.chart.to_json())
        return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704

    def headings(self) -> list[str]:
        """The titles of the table's columns."""
        return [HEADINGS.get(name, (_words(name), ""))[0] for name in self._shown().columns]

    def rows(self) -> list[list[str]]:
        """The table's cells as text."""
        shown = self._shown()
        forms = [HEADINGS.get(str(name), ("", ""))[1] for name in shown.columns]
        return [
            [formatted(value, form) for value, form in zip(row, forms, strict=True)]
            for row in shown.itertuples(index=False, name=None)
        ]

    def _shown(self) -> pd.DataFrame:
        return self.data if self.table is None else self.table


@dataclass(frozen=True)
class Insight:
    """A sentence made from a figure, with the data that support it and its limits."""

    text: str
    figure: str
    support: str
    limit: str


@dataclass(frozen=True)
class Report:
    """A page and the tables of its figures, by file name without ``.csv``."""

    html: str
    tables: Mapping[str, pd.DataFrame]


def render(template: str, figures: Sequence[Figure], **values: Any) -> Report:
    """Render a template to a report; the template gets the figures by id, and ``values``."""
    by_id = {figure.id: figure for figure in figures}
    page = _environment().get_template(template).render(figures=by_id, **values)
    return Report(page, {figure.id: figure.data for figure in figures})


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("movierate_spark.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"formatted": formatted, "moment": _moment}
    environment.globals |= {
        # Files of this package and of Plotly: they are not data, and must not be escaped.
        "plotly": Markup(get_plotlyjs().replace("</script", "<\\/script")),  # noqa: S704
        "styles": Markup(own_file("page.css")),  # noqa: S704
        "script": Markup(own_file("page.js")),  # noqa: S704
        "as_of": Markup(own_file("as-of.svg")),  # noqa: S704
        "palette": Markup(json.dumps(PALETTE)),  # noqa: S704
    }
    return environment


def own_file(name: str) -> str:
    """The text of a file of this package."""
    return (resources.files("movierate_spark.report") / name).read_text(encoding="utf-8")


def formatted(value: Any, form: str = "") -> str:
    """A value as text; missing values become a dash, and text is not changed."""
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return MISSING
    match form:
        case "count":
            return f"{int(value):,}"
        case "percent":
            return f"{100 * value:.1f}%"
        case "points":
            return f"{100 * value:+.1f}"
        case "decimal":
            return f"{value:.2f}"
        case "metric":
            return f"{value:.4f}"
        case "change":
            return f"{value:+.4f}"
        case "signed":
            return f"{value:+.3f}"
        case "ratio":
            return f"{value:.3f}"
        case "small":
            return f"{value:.2g}"
    return str(value)


def largest(table: pd.DataFrame, column: str) -> dict[str, Any]:
    """The first row with the largest absolute value of a column; empty if all values are missing."""
    sizes = table[column].abs()
    if not sizes.notna().any():
        return {}
    return {str(name): value for name, value in table.loc[[sizes.idxmax()]].to_dict("records")[0].items()}


def _moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S} UTC"


def _words(name: object) -> str:
    text = str(name).replace("_", " ")
    return text[:1].upper() + text[1:]
