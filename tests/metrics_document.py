"""Small metrics.json documents for the tests of reports."""

from __future__ import annotations

from typing import Any

from movierate_spark.evaluation.metrics import METRICS

INTERVALS = {name: [0.7, 0.8] for name in METRICS}


def figures(rows: int, **changes: Any) -> dict[str, Any]:
    counted = {"rows": rows, "people": rows // 2, "positives": rows // 2, "decision_threshold": 0.5}
    return {**dict.fromkeys(METRICS, 0.75), **counted, "intervals": INTERVALS, **changes}


def metrics(**changes: Any) -> dict[str, Any]:
    return {
        **figures(1000),
        "baselines": {"always_like": figures(1000, auc=0.5), "movie_mean": figures(1000, auc=0.7)},
        "segments": {"gender": {"F": figures(40, auc=0.61), "M": figures(80, auc=0.64)}},
        "cold_start": {"new user/known movie": {**figures(120), "baselines": {}}},
        "model_version": "v1",
        "since": "2000-12-02T23:47:24+00:00",
        "until": None,
        "min_user_history": 5,
        "overlap": False,
        **changes,
    }
