"""explore: from a lake to a report about its ratings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.exploration import explore
from movierate_spark.progress import Progress
from movierate_spark.report import exploration_report
from movierate_spark.report.folder import REPORT_FILES, check_free, leave_report
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.locations import Location


def explore_lake(
    lake: Lake, settings: Settings, progress: Progress, *, target: Location
) -> Mapping[str, Any]:
    """Write the report and its figures' tables to ``target``; returns the totals.

    Raises:
        InputError: the ratings are by fewer people than ``report.min_cell``, or ``target`` holds other files.
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
            f"{lake.path}: its ratings are by {people} people, and a report shows nothing about fewer than"
            f" report.min_cell {min_cell}: lower the setting if you are allowed to see them"
        )
    with progress.step(f"write {target}"):
        leave_report(target, exploration_report(exploration, lake.ledger, **rules))
    return exploration.totals
