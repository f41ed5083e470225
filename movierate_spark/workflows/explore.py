"""explore: the lake to a report about what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.exploration import explore
from movierate_spark.progress import Reporter
from movierate_spark.report import exploration_report
from movierate_spark.report.folder import REPORT_FILES, check_free, leave_report
from movierate_spark.storage import lake


def explore_lake(
    spark: SparkSession,
    settings: Settings,
    report: Reporter,
    *,
    source: Path,
    target: Path,
    inputs: dict[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Leave the report and the tables of its figures; returns the totals.

    ``inputs`` is filled with what was opened, for the run record.

    Raises:
        InputError: there is no lake, fewer people than a report may speak of, or ``target`` holds
            something else.
    """
    opened = lake.open_lake(spark, source)
    if inputs is not None:
        inputs |= opened.described()
    check_free(target, REPORT_FILES)
    rules: dict[str, Any] = {
        "threshold": settings.label.threshold,
        "min_cell": settings.report.min_cell,
        "min_support": settings.report.min_support,
        "shrinkage": settings.features.shrinkage_movie,
    }
    with report.step("count, compare, correlate"):
        found = explore(opened.latest_ratings, opened.users, opened.movies, **rules)
    people, min_cell = found.totals["people"], settings.report.min_cell
    if people < min_cell:
        raise InputError(
            f"--lake {source}: its ratings are by {people} people, and a report says nothing about fewer than"
            f" report.min_cell {min_cell}: set it lower if you may know them"
        )
    with report.step(f"write {target}"):
        leave_report(target, exploration_report(found, opened.ledger, **rules))
    return found.totals
