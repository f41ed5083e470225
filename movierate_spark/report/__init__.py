"""Reports that people look at: one HTML file each, complete in itself, opened from disk."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

COLUMNS = ("auc", "log_loss", "accuracy", "precision", "recall", "f1", "auc_pr", "brier", "ece")
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
MIN_CELL = 11


def evaluation_report(metrics: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """The report of ``evaluate`` as HTML, from ``metrics.json`` and the bundle's manifest."""
    environment = Environment(
        loader=PackageLoader("movierate_spark.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "number": _number, "words": _words, "title_of": TITLES.get}
    picture = (resources.files("movierate_spark.report") / "as-of.svg").read_text(encoding="utf-8")
    return environment.get_template("evaluation.html.j2").render(
        metrics=metrics,
        manifest=manifest,
        columns=COLUMNS,
        min_cell=MIN_CELL,
        # Our own file, not data: the only markup that is not escaped.
        as_of=Markup(picture),  # noqa: S704
    )


def _figure(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)


def _number(value: float) -> str:
    return f"{value:,}"


def _words(name: str) -> str:
    return name.replace("_", " ")
