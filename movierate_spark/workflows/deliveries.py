"""Which requests belong to which run date, and which of them are still to be scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from movierate_spark.errors import InputError
from movierate_spark.inputs import requests
from movierate_spark.inputs.lines import whole
from movierate_spark.inputs.requests import RequestCounts, Requests

DATE = "{date}"
AT_ONCE = 50
"""How many deliveries are counted by one job: enough that a job's start is cheap, few enough to plan it."""
Outcome = Literal["scored", "unchanged", "no delivery", "refused"]


@dataclass(frozen=True)
class ScoringRequest:
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

    def check_there(self) -> None:
        """Refuse a single delivery that has not come.

        Raises:
            InputError: nothing lies at its path.
        """
        paths = list(self.by_path())
        if len(paths) == 1 and not paths[0].exists():
            raise InputError(f"--requests {paths[0]}: no such file")


@dataclass(frozen=True)
class RunDateOutcome:
    """What became of a run date; ``counts`` (read, scored, rejected) only where it was scored."""

    run_date: date
    outcome: Outcome
    requested: str
    why: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    version: int | None = None


@dataclass(frozen=True)
class DueDelivery:
    """A run date to be scored, the delivery that its lines are in, and what lies in them."""

    run_date: date
    delivery: Requests
    counts: RequestCounts
    judge: Callable[[DataFrame], DataFrame]

    @cached_property
    def lines(self) -> DataFrame:
        """The date's lines with ``rule`` and ``run_date``, planned when its turn has come."""
        return requests.of_run_date(self.judge(self.delivery.lines), self.run_date)

    @property
    def requested(self) -> str:
        """Where the requests lie."""
        return str(self.delivery.path)


@dataclass(frozen=True)
class Counted:
    """A delivery, and what lies in it for each ``day``."""

    delivery: Requests
    by_day: Mapping[str | None, RequestCounts]


def due(
    spark: SparkSession,
    asked: ScoringRequest,
    *,
    judge: Callable[[DataFrame], DataFrame],
    is_done: Callable[[date, RequestCounts], bool],
) -> Iterator[RunDateOutcome | DueDelivery]:
    """Each run date: what is to be scored, or why it is not. ``judge`` adds the rule that a line breaks.

    What is wrong with one of several deliveries does not keep the others.

    Raises:
        InputError: the only delivery can't be read.
    """
    paths = asked.by_path()
    for start in range(0, len(paths), AT_ONCE):
        some = list(islice(paths, start, start + AT_ONCE))
        there = [path for path in some if len(paths) == 1 or path.exists()]
        found = _inspected({path: _read(spark, path, paths[path]) for path in there}, judge)
        for path in some:
            try:
                outcomes = list(_of_path(path, paths[path], found.get(path), asked, judge))
            except InputError as error:
                if len(paths) == 1:
                    raise
                outcomes = [RunDateOutcome(day, "refused", str(path), str(error)) for day in paths[path]]
            for each in outcomes:
                unchanged = (
                    isinstance(each, DueDelivery) and not asked.force and is_done(each.run_date, each.counts)
                )
                yield RunDateOutcome(each.run_date, "unchanged", str(path)) if unchanged else each


def check_deliveries(asked: ScoringRequest, found: Sequence[RunDateOutcome]) -> None:
    """After all that can be scored is scored: say which run dates could not be.

    Raises:
        InputError: a delivery was refused, or none had come for any of the run dates.
    """
    refused = [str(each.run_date) for each in found if each.outcome == "refused"]
    if refused:
        raise InputError(f"{len(refused)} of {len(found)} run dates were refused: {', '.join(refused)}")
    if all(each.outcome == "no delivery" and not each.why for each in found):
        raise InputError(f"--requests {asked.requested}: no delivery for any of the {len(found)} run dates")


def _read(spark: SparkSession, path: Path, run_dates: Sequence[date]) -> Requests | InputError:
    """The delivery, or why it is refused."""
    try:
        delivery = requests.read_requests(spark, path)
    except InputError as error:
        return error
    if delivery.is_dated or len(run_dates) == 1:
        return delivery
    return InputError(
        f"--requests {path} is one delivery for {len(run_dates)} run dates: give it a column run_date, or"
        " name a file for each date with {date}"
    )


def _inspected(
    read: Mapping[Path, Requests | InputError], judge: Callable[[DataFrame], DataFrame]
) -> dict[Path, Counted | InputError]:
    """What lies in each delivery, counted in one job; where that fails, in one for each, which tells."""
    found: dict[Path, Counted | InputError] = {
        path: error for path, error in read.items() if isinstance(error, InputError)
    }
    whole_ones = [delivery for delivery in read.values() if isinstance(delivery, Requests)]
    try:
        by_day = requests.inspected_together([delivery.lines for delivery in whole_ones], judge)
        together = [Counted(*each) for each in zip(whole_ones, by_day, strict=True)]
        return found | {each.delivery.path: each for each in together}
    except (Py4JJavaError, PySparkException):
        return found | {delivery.path: _alone(delivery, judge) for delivery in whole_ones}


def _alone(delivery: Requests, judge: Callable[[DataFrame], DataFrame]) -> Counted | InputError:
    try:
        with whole(delivery.path):
            return Counted(delivery, requests.inspected(judge(delivery.lines)))
    except InputError as error:
        return error


def _of_path(
    path: Path,
    run_dates: Sequence[date],
    found: Counted | InputError | None,
    asked: ScoringRequest,
    judge: Callable[[DataFrame], DataFrame],
) -> Iterator[RunDateOutcome | DueDelivery]:
    if found is None:
        yield from (RunDateOutcome(day, "no delivery", str(path)) for day in run_dates)
        return
    if isinstance(found, InputError):
        raise found
    delivery, by_day = found.delivery, found.by_day
    _check(path, by_day, run_dates, asked)
    if not delivery.is_as_it_was():
        raise InputError(f"--requests {path} has changed while it was read: run it again")
    is_empty = not any(of_day.rows for of_day in by_day.values())
    if delivery.is_dated and is_empty and len(asked.run_dates) > 1:
        yield from (RunDateOutcome(day, "no delivery", str(path), why="no rows") for day in run_dates)
        return
    for day in run_dates:
        of_day = by_day.get(day.isoformat() if delivery.is_dated else None, requests.NOTHING)
        if delivery.is_dated and not of_day.rows and not is_empty:
            if len(asked.run_dates) == 1:
                raise InputError(f"--requests {path}: no row has the run_date {day}")
            yield RunDateOutcome(day, "no delivery", str(path))
        else:
            yield DueDelivery(day, delivery, of_day, judge)


def _other_days(by_day: Mapping[str | None, RequestCounts], run_dates: Sequence[date]) -> list[str]:
    """The days with rows that a file is not for."""
    own = {day.isoformat() for day in run_dates}
    return sorted(day for day, of_day in by_day.items() if day and of_day.rows and day not in own)


def _check(
    path: Path,
    by_day: Mapping[str | None, RequestCounts],
    run_dates: Sequence[date],
    asked: ScoringRequest,
) -> None:
    if DATE in asked.requested and (others := _other_days(by_day, run_dates)):
        raise InputError(
            f"--requests {path}: rows of run_date {others[0]}, which the file's name does not say: put them"
            " into the file of their date, or give one table of all dates without {date}"
        )
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
