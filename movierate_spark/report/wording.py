"""Metrics as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from movierate_spark.evaluation.metrics import METRICS
from movierate_spark.report.page import formatted

MODEL = "model"
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


def as_text(
    data: pd.DataFrame, ranges: Mapping[int, Mapping[str, Any]], form: str = "metric"
) -> pd.DataFrame:
    """The metrics as text; ``ranges`` has the intervals by row number and metric."""
    rows = []
    for i, row in enumerate(data.to_dict("records")):
        rows.append(
            [
                _with_range(value, ranges.get(i, {}).get(str(name)), form)
                if name in METRICS
                else words(value)
                for name, value in row.items()
            ]
        )
    return pd.DataFrame(rows, columns=[TITLES.get(str(name), str(name)) for name in data.columns])


def _with_range(value: Any, interval: list[float] | None, form: str = "metric") -> str:
    if interval is None:
        return formatted(value, form)
    return f"{formatted(value, form)} ({' to '.join(formatted(end, form) for end in interval)})"


def words(name: object) -> str:
    """A name with spaces instead of underscores."""
    return str(name).replace("_", " ")
