"""The table of results that `make movielens` prints."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import movielens
import pyarrow as pa
from deltalake import write_deltalake


def test_training_ends_after_four_fifths_of_the_ratings_with_five_earlier_ones(tmp_path: Path) -> None:
    # User 1 rates once a second from 0 on, user 2 five times in between: none of these five counts.
    rows = [(1, second) for second in range(105)] + [(2, second) for second in range(0, 100, 20)]
    times = pa.array([datetime.fromtimestamp(second, UTC) for _, second in rows], pa.timestamp("us", "UTC"))
    write_deltalake(
        tmp_path / "ratings", pa.table({"user_id": [user for user, _ in rows], "rated_at": times})
    )
    assert movielens.borders(tmp_path) == (5 + 80, 5 + 90)


def test_the_table_has_the_model_the_published_ones_and_what_each_family_is_worth() -> None:
    figures = {"auc": 0.83, "log_loss": 0.495, "accuracy": 0.756}
    intervals = {"auc": [0.82, 0.84], "log_loss": [0.48, 0.51], "accuracy": [0.75, 0.76]}
    worth = {"auc": 0.01, "log_loss": -0.02, "accuracy": 0.005}
    of_worth = {"auc": [0.008, 0.012], "log_loss": [-0.03, -0.01], "accuracy": [0.004, 0.006]}
    less = {"without": "factors", "seconds": 12.4, "difference": worth, "difference_intervals": of_worth}
    lines = movielens.table(
        {**figures, "intervals": intervals, "baselines": {"movie_mean": figures}, "ablation": [{}, less]}
    ).splitlines()
    assert (
        "| **model** | 0.8300 (0.8200 to 0.8400) | 0.4950 (0.4800 to 0.5100) | 0.7560 (0.7500 to 0.7600) |"
        in lines
    )
    assert "| movie mean | 0.8300 | 0.4950 | 0.7560 |" in lines
    assert "| DeepFM | 0.7915 | 0.5484 | 0.7225 |" in lines
    assert lines[-1] == (
        "| factors | -0.0100 (-0.0120 to -0.0080) | +0.0200 (+0.0100 to +0.0300)"
        " | -0.0050 (-0.0060 to -0.0040) | 12 |"
    )
