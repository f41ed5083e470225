"""explore: the lake to a report about what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.exploration import explore
from movierate_spark.progress import Progress
from movierate_spark.report import exploration_report
from movierate_spark.report.folder import REPORT_FILES, check_free, leave_report
from movierate_spark.storage.lake import Lake


def explore_lake(lake: Lake, settings: Settings, progress: Progress, *, target: Path) -> Mapping[str, Any]:
    """Leave the report and the tables of its figures; returns the totals.

    Raises:
        InputError: fewer people than a report may speak of, or ``target`` holds something else.
    """
    check_free(target, REPORT_FILES)
    rules: dict[str, Any] = {
        "min_rating": settings.label.min_rating,
        "min_cell": settings.report.min_cell,
        "min_support": settings.report.min_support,
        "shrinkage": settings.features.shrinkage_movie,
    }
    with progress.step("count, compare, correlate"):
        exploration = explore(lake.latest_ratings, lake.users, lake.movies, **rules)
    people, min_cell = exploration.totals["people"], settings.report.min_cell
    if people < min_cell:
        raise InputError(
            f"{lake.path}: its ratings are by {people} people, and a report says nothing about fewer than"
            f" report.min_cell {min_cell}: set it lower if you may know them"
        )
    with progress.step(f"write {target}"):
        leave_report(target, exploration_report(exploration, lake.ledger, **rules))
    return exploration.totals
