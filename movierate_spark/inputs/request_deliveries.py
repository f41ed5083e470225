"""The deliveries of requests: which run date each is for, and which dates still have to be scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import islice
from typing import Literal

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from movierate_spark.errors import InputError
from movierate_spark.inputs import requests
from movierate_spark.inputs.lines import whole
from movierate_spark.inputs.requests import RequestCounts, Requests
from movierate_spark.storage.locations import Location, location_of

DATE = "{date}"
AT_ONCE = 50
"""Deliveries counted by one Spark job: enough to share a job's start, few enough to plan quickly."""
Outcome = Literal["scored", "unchanged", "no delivery", "refused"]


@dataclass(frozen=True)
class ScoringRequest:
    """What to score: the requests at the path ``requested``, where ``{date}`` stands for each run date.

    ``reasons`` is the number of reasons per score. ``expected_rows`` is the expected number of rows of each
    delivery. ``force`` scores again even if the inputs are the same.
    """

    requested: str
    run_dates: Sequence[date]
    reasons: int
    force: bool = False
    expected_rows: int | None = None

    def by_path(self) -> dict[Location, list[date]]:
        """The files or folders to read, each with its run dates."""
        paths: dict[Location, list[date]] = {}
        for run_date in self.run_dates:
            path = location_of(self.requested.replace(DATE, run_date.isoformat()))
            paths.setdefault(path, []).append(run_date)
        return paths

    def check_exists(self) -> None:
        """Refuse a missing delivery if it is the only one.

        Raises:
            InputError: nothing is at its path.
        """
        paths = list(self.by_path())
        if len(paths) == 1 and not paths[0].exists():
            raise InputError(f"{paths[0]}: no such file", argument="requests")


@dataclass(frozen=True)
class RunDateOutcome:
    """The result for a run date; ``counts`` (read, scored, rejected) are empty unless it was scored."""

    run_date: date
    outcome: Outcome
    requested: str
    why: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    version: int | None = None


@dataclass(frozen=True)
class DueDelivery:
    """A run date to score: its delivery, and the counts of its rows.

    ``judge`` adds the rule that a line breaks.
    """

    run_date: date
    delivery: Requests
    counts: RequestCounts
    judge: Callable[[DataFrame], DataFrame]

    @cached_property
    def lines(self) -> DataFrame:
        """The date's lines with ``rule`` and ``run_date``; planned only when the date is scored."""
        return requests.of_run_date(self.judge(self.delivery.lines), self.run_date)

    @property
    def requested(self) -> str:
        """The path of the requests."""
        return str(self.delivery.path)


@dataclass(frozen=True)
class CountedDelivery:
    """A delivery, and the counts of its rows by ``day`` (None if it has no run_date)."""

    delivery: Requests
    counts_by_day: Mapping[str | None, RequestCounts]


def due_deliveries(
    spark: SparkSession,
    request: ScoringRequest,
    *,
    judge: Callable[[DataFrame], DataFrame],
    is_done: Callable[[date, RequestCounts], bool],
) -> Iterator[RunDateOutcome | DueDelivery]:
    """For each run date, the delivery to score, or the outcome if there is nothing to score.

    ``judge`` adds the rule that a line breaks. ``is_done`` says whether a date was already scored from the
    same inputs. If one of several deliveries is refused, the others are still scored.

    Raises:
        InputError: the only delivery can't be read.
    """
    may_skip, paths = not request.force, request.by_path()
    for start in range(0, len(paths), AT_ONCE):
        batch = list(islice(paths, start, start + AT_ONCE))
        existing = [path for path in batch if len(paths) == 1 or path.exists()]
        counted = _count_together({path: _read(spark, path, paths[path]) for path in existing}, judge)
        for path in batch:
            try:
                outcomes = list(_outcomes(path, paths[path], counted.get(path), request, judge))
            except InputError as error:
                if len(paths) == 1:
                    raise
                outcomes = [RunDateOutcome(day, "refused", str(path), str(error)) for day in paths[path]]
            for each in outcomes:
                if may_skip and isinstance(each, DueDelivery) and is_done(each.run_date, each.counts):
                    yield RunDateOutcome(each.run_date, "unchanged", str(path))
                else:
                    yield each


def check_deliveries(request: ScoringRequest, outcomes: Sequence[RunDateOutcome]) -> None:
    """Fail if run dates could not be scored; called after all others are scored.

    Raises:
        InputError: a delivery was refused, or there was none for any of the run dates.
    """
    refused = [str(each.run_date) for each in outcomes if each.outcome == "refused"]
    if refused:
        raise InputError(f"{len(refused)} of {len(outcomes)} run dates were refused: {', '.join(refused)}")
    if all(each.outcome == "no delivery" and not each.why for each in outcomes):
        raise InputError(
            f"{request.requested}: no delivery for any of the {len(outcomes)} run dates",
            argument="requests",
        )


def _read(spark: SparkSession, path: Location, run_dates: Sequence[date]) -> Requests | InputError:
    """The delivery, or the error for which it is refused."""
    try:
        with whole(path):
            delivery = requests.read_requests(spark, path)
    except InputError as error:
        return error
    except PermissionError as error:
        return InputError(f"{path}: {error.strerror or error}", argument="requests")
    if delivery.is_dated or len(run_dates) == 1:
        return delivery
    return InputError(
        f"{path} is one delivery for {len(run_dates)} run dates: give it a column run_date, or"
        " name a file for each date with {date}",
        argument="requests",
    )


def _count_together(
    deliveries: Mapping[Location, Requests | InputError], judge: Callable[[DataFrame], DataFrame]
) -> dict[Location, CountedDelivery | InputError]:
    """The counts of each delivery, by one Spark job.

    If that job fails, each delivery is counted alone, to find the one that is damaged.
    """
    refused: dict[Location, CountedDelivery | InputError] = {
        path: error for path, error in deliveries.items() if isinstance(error, InputError)
    }
    readable = [delivery for delivery in deliveries.values() if isinstance(delivery, Requests)]
    try:
        counts_by_day = requests.counts_of_deliveries([delivery.lines for delivery in readable], judge)
        together = [CountedDelivery(*each) for each in zip(readable, counts_by_day, strict=True)]
        return refused | {each.delivery.path: each for each in together}
    except (Py4JJavaError, PySparkException):
        return refused | {delivery.path: _count_alone(delivery, judge) for delivery in readable}


def _count_alone(delivery: Requests, judge: Callable[[DataFrame], DataFrame]) -> CountedDelivery | InputError:
    try:
        with whole(delivery.path):
            return CountedDelivery(delivery, requests.counts_by_day(judge(delivery.lines)))
    except InputError as error:
        return error


def _outcomes(
    path: Location,
    run_dates: Sequence[date],
    counted: CountedDelivery | InputError | None,
    request: ScoringRequest,
    judge: Callable[[DataFrame], DataFrame],
) -> Iterator[RunDateOutcome | DueDelivery]:
    if counted is None:
        yield from (RunDateOutcome(day, "no delivery", str(path)) for day in run_dates)
        return
    if isinstance(counted, InputError):
        raise counted
    delivery, counts_by_day = counted.delivery, counted.counts_by_day
    _check(path, counts_by_day, run_dates, request)
    if not delivery.is_as_it_was():
        raise InputError(f"{path} has changed while it was read: run score again", argument="requests")
    is_empty = not any(day_counts.rows for day_counts in counts_by_day.values())
    if delivery.is_dated and is_empty and len(request.run_dates) > 1:
        yield from (RunDateOutcome(day, "no delivery", str(path), why="no rows") for day in run_dates)
        return
    for day in run_dates:
        day_counts = counts_by_day.get(day.isoformat() if delivery.is_dated else None, requests.NOTHING)
        if delivery.is_dated and not day_counts.rows and not is_empty:
            if len(request.run_dates) == 1:
                raise InputError(f"{path}: no row has the run_date {day}", argument="requests")
            yield RunDateOutcome(day, "no delivery", str(path))
        else:
            yield DueDelivery(day, delivery, day_counts, judge)


def _other_days(counts_by_day: Mapping[str | None, RequestCounts], run_dates: Sequence[date]) -> list[str]:
    """Days with rows that are not among the delivery's run dates.

    Other texts are not returned: they may be personal data.
    """
    own = {day.isoformat() for day in run_dates}
    days = [day for day, day_counts in counts_by_day.items() if day and day_counts.rows]
    return sorted(day for day in days if day not in own and _is_date(day))


def _check(
    path: Location,
    counts_by_day: Mapping[str | None, RequestCounts],
    run_dates: Sequence[date],
    request: ScoringRequest,
) -> None:
    if DATE in request.requested and (others := _other_days(counts_by_day, run_dates)):
        raise InputError(
            f"{path}: rows of run_date {others[0]}, which is not the date in the file's name: put"
            " them into the file of their date, or give one table for all dates, without {date} in its name",
            argument="requests",
        )
    undated = sum(
        counts.rows for day, counts in counts_by_day.items() if day is not None and not _is_date(day)
    )
    if undated:
        raise InputError(f"{path}: {undated} rows have no run_date as YYYY-MM-DD", argument="requests")
    rows = sum(counts.rows for counts in counts_by_day.values())
    if request.expected_rows not in (None, rows):
        raise InputError(
            f"{path}: {rows} rows, expected {request.expected_rows}: is the delivery complete?",
            argument="requests",
        )


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
