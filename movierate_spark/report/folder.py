"""Writes a report and its figures' tables to a folder."""

from __future__ import annotations

from collections.abc import Collection

from movierate_spark.errors import InputError
from movierate_spark.report import Report
from movierate_spark.report.spreadsheet import to_csv
from movierate_spark.storage.files import entries, make_folder, replace_text
from movierate_spark.storage.folders import check_folder
from movierate_spark.storage.locations import Location

PAGE, FIGURES = "report.html", "figures"
REPORT_FILES = (PAGE, FIGURES)


def check_free(path: Location, allowed: Collection[str]) -> None:
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


def leave_report(target: Location, report: Report) -> None:
    """Write the page, then its figures' tables; remove tables of an earlier report that are not replaced.

    The page is written first: it identifies the figures as a report's, also after a killed run.
    """
    folder = target / FIGURES
    before = (target / PAGE).read_text(encoding="utf-8") if (target / PAGE).is_file() else ""
    for name in entries(folder):
        stem, _, suffix = name.rpartition(".")
        if suffix == "csv" and stem not in report.tables and f"{FIGURES}/{name}" in before:
            (folder / name).unlink()
    make_folder(target)
    replace_text(target / PAGE, report.html)
    make_folder(folder)
    for name, table in report.tables.items():
        replace_text(folder / f"{name}.csv", to_csv(table))
