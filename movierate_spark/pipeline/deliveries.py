"""Which requests belong to which run date, and which of them are still to be scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from pyspark.sql import DataFrame, SparkSession

from movierate_spark import requests
from movierate_spark.errors import InputError
from movierate_spark.readers import whole
from movierate_spark.requests import Inspected

DATE = "{date}"
Outcome = Literal["scored", "unchanged", "no delivery", "refused"]


@dataclass(frozen=True)
class Asked:
    """What is to be scored: ``requested`` is a path, in which ``{date}`` stands for each run date.

    ``expected_rows`` is what a delivery states it holds; ``force`` scores again what is there already.
    """

    requested: str
    run_dates: Sequence[date]
    reasons: int
    force: bool = False
    expected_rows: int | None = None

    def by_path(self) -> dict[Path, list[date]]:
        """The files or folders to read, and the run dates that each is for."""
        paths: dict[Path, list[date]] = {}
        for run_date in self.run_dates:
            path = Path(self.requested.replace(DATE, run_date.isoformat()))
            paths.setdefault(path, []).append(run_date)
        return paths


@dataclass(frozen=True)
class Scored:
    """What became of a run date; ``counts`` (read, scored, rejected) only where it was scored."""

    run_date: date
    outcome: Outcome
    requested: str
    why: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    version: int | None = None


@dataclass(frozen=True)
class Due:
    """A run date to be scored: its lines with ``rule`` and ``run_date``, and what lies in them."""

    run_date: date
    requested: str
    lines: DataFrame
    found: Inspected


def due(
    spark: SparkSession,
    asked: Asked,
    *,
    judge: Callable[[DataFrame], DataFrame],
    is_done: Callable[[date, Inspected], bool],
) -> Iterator[Scored | Due]:
    """Each run date: what is to be scored, or why it is not. ``judge`` adds the rule that a line breaks.

    What is wrong with one of several deliveries does not keep the others.

    Raises:
        InputError: the only delivery can't be read.
    """
    paths = asked.by_path()
    for path, run_dates in paths.items():
        if len(paths) > 1 and not path.exists():
            yield from (Scored(day, "no delivery", str(path)) for day in run_dates)
            continue
        try:
            found = list(_of_path(spark, path, run_dates, asked, judge))
        except InputError as error:
            if len(paths) == 1:
                raise
            yield from (Scored(day, "refused", str(path), str(error)) for day in run_dates)
            continue
        for each in found:
            unchanged = isinstance(each, Due) and not asked.force and is_done(each.run_date, each.found)
            yield Scored(each.run_date, "unchanged", str(path)) if unchanged else each


def check_deliveries(asked: Asked, found: Sequence[Scored]) -> None:
    """After all that can be scored is scored: say which run dates could not be.

    Raises:
        InputError: a delivery was refused, or none had come for any of the run dates.
    """
    refused = [str(each.run_date) for each in found if each.outcome == "refused"]
    if refused:
        raise InputError(f"{len(refused)} of {len(found)} run dates were refused: {', '.join(refused)}")
    if all(each.outcome == "no delivery" for each in found):
        raise InputError(f"--requests {asked.requested}: no delivery for any of the {len(found)} run dates")


def _of_path(
    spark: SparkSession,
    path: Path,
    run_dates: Sequence[date],
    asked: Asked,
    judge: Callable[[DataFrame], DataFrame],
) -> Iterator[Scored | Due]:
    delivery = requests.read_requests(spark, path)
    is_dated = delivery.is_dated
    if not is_dated and len(run_dates) > 1:
        raise InputError(
            f"--requests {path} is one delivery for {len(run_dates)} run dates: give it a column run_date, or"
            " name a file for each date with {date}"
        )
    lines = judge(delivery.lines)
    with whole(path):
        by_day = requests.inspected(lines)
    _check(path, by_day, asked)
    for day in run_dates:
        found = by_day.get(day.isoformat() if is_dated else None, requests.NOTHING)
        if is_dated and not found.rows:
            if len(asked.run_dates) == 1:
                raise InputError(f"--requests {path}: no row has the run_date {day}")
            yield Scored(day, "no delivery", str(path))
        else:
            yield Due(day, str(path), requests.of_run_date(lines, day), found)


def _check(path: Path, by_day: Mapping[str | None, Inspected], asked: Asked) -> None:
    unnamed = sum(found.rows for day, found in by_day.items() if day is not None and not _is_date(day))
    if unnamed:
        raise InputError(f"--requests {path}: {unnamed} rows have no run_date as YYYY-MM-DD")
    rows = sum(found.rows for found in by_day.values())
    if asked.expected_rows not in (None, rows):
        raise InputError(
            f"--requests {path}: {rows} rows, but --expect-rows {asked.expected_rows}: is the delivery"
            " complete?"
        )


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
