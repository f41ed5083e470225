"""Writes a report and its figures' tables to a folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from movierate_spark.errors import InputError
from movierate_spark.report import Report
from movierate_spark.report.spreadsheet import to_csv
from movierate_spark.storage.files import replace_text
from movierate_spark.storage.folders import check_folder

PAGE, FIGURES = "report.html", "figures"
REPORT_FILES = (PAGE, FIGURES)


def check_free(path: Path, allowed: Collection[str]) -> None:
    """Refuse a folder that holds anything but run records and the names ``allowed``.

    Raises:
        InputError: the path is a file, or a folder with other content.
    """
    check_folder(path, "out", allowed)
    figures = path / FIGURES
    if figures.exists() and not (figures.is_dir() and (path / PAGE).is_file()):
        raise InputError(
            f"{path}: its {FIGURES} are not those of a report: name a new folder", argument="out"
        )


def leave_report(target: Path, report: Report) -> None:
    """Write the page, then its figures' tables; remove tables of an earlier report that are not replaced.

    The page is written first: it identifies the figures as a report's, also after a killed run.
    """
    folder = target / FIGURES
    before = (target / PAGE).read_text(encoding="utf-8") if (target / PAGE).is_file() else ""
    for file in folder.glob("*.csv"):
        if file.stem not in report.tables and f"{FIGURES}/{file.name}" in before:
            file.unlink()
    target.mkdir(parents=True, exist_ok=True)
    replace_text(target / PAGE, report.html)
    folder.mkdir(exist_ok=True)
    for name, table in report.tables.items():
        replace_text(folder / f"{name}.csv", to_csv(table))
