"""Small documents for the tests of reports: metrics and manifest."""

from __future__ import annotations

from typing import Any

from movierate_spark.config import load_settings
from movierate_spark.evaluation.metrics import METRICS
from movierate_spark.storage.documents import Coefficient, ColdStart, Figures, Manifest, Metrics

INTERVALS = {name: [0.7, 0.8] for name in METRICS}
CONFUSION = {"tp": 1, "fp": 1, "tn": 1, "fn": 1}


def figures(rows: int, **changes: Any) -> Figures:
    return Figures.model_validate(_figures(rows) | changes)


def cold_start(rows: int, **changes: Any) -> ColdStart:
    return ColdStart.model_validate(_figures(rows) | {"baselines": {}} | changes)


def metrics(**changes: Any) -> Metrics:
    content = {
        **_figures(1000),
        "baselines": {"always_like": figures(1000, auc=0.5), "movie_mean": figures(1000, auc=0.7)},
        "segments": {"gender": {"F": figures(40, auc=0.61), "M": figures(80, auc=0.64)}},
        "cold_start": {"new user/known movie": cold_start(120)},
        "model_version": "v1",
        "since": "2000-12-02T23:47:24+00:00",
        "until": None,
        "min_user_history": 5,
        "overlap": False,
    }
    return Metrics.new(**content | changes)


def coefficient(
    name: str, value: float, *, error: float | None = None, deviation: float = 1.0, indicator: bool = False
) -> Coefficient:
    return Coefficient(
        feature=name, coefficient=value, standard_error=error, deviation=deviation, indicator=indicator
    )


def manifest(**changes: Any) -> Manifest:
    named = {"version": "v1", "folder": "v1", "libraries": {}, "files": {}}
    return Manifest.new(**named | manifest_content() | changes)


def manifest_content(**changes: Any) -> dict[str, Any]:
    """What training says of a model; the bundle adds its version, libraries and files."""
    settings, seen_until = load_settings(), "2000-12-02T23:47:24+00:00"
    folds = {"log_loss": 0.5, "folds": [0.4, 0.6], "difference": 0.0, "standard_error": 0.0}
    content = {
        "training": {
            "from": "2000-04-25T23:05:32+00:00",
            "until": seen_until,
            "rows": 9000,
            "refit": False,
            "tune_from": seen_until,
            "test_from": seen_until,
            "test_until": seen_until,
        },
        "lake": {"path": "lake", "versions": {}},
        "with_month": False,
        "signature": {},
        "label": settings.label,
        "features": settings.features,
        "decision_threshold": 0.5,
        "threshold_metric": "accuracy",
        "calibration": {"method": "none"},
        "params": {"regParam": 0.01, "elasticNetParam": 0.0},
        "cross_validation": [{"regParam": 0.01, "elasticNetParam": 0.0, "chosen": True, **folds}],
        "feature_names": ["genre=War", "user: mean", "zero"],
        "coefficients": [
            coefficient("genre=War", 0.5, error=0.1, indicator=True),
            coefficient("user: mean", 2.0, error=0.2, deviation=0.5),
            coefficient("zero", 0.0),
        ],
        "baselines": {},
        "metrics": {**_figures(1000), "segments": {}, "baselines": {}, "cold_start": {}},
    }
    return content | changes


def _figures(rows: int) -> dict[str, Any]:
    counted = {"rows": rows, "people": rows // 2, "positives": rows // 2, "decision_threshold": 0.5}
    return {**dict.fromkeys(METRICS, 0.75), **counted, "confusion": CONFUSION, "intervals": INTERVALS}
