"""score: from requests to their run dates' partitions of the scores table. Safe to run again at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial, reduce
from importlib.metadata import version as release_of

from deltalake import Transaction
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.errors import MovierateError
from movierate_spark.inputs import requests
from movierate_spark.inputs.request_deliveries import (
    DueDelivery,
    RunDateOutcome,
    ScoringRequest,
    due_deliveries,
)
from movierate_spark.inputs.requests import RequestCounts
from movierate_spark.model.bundle import Bundle
from movierate_spark.progress import Progress
from movierate_spark.session import persisted
from movierate_spark.storage.attempts import attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.digests import number_of
from movierate_spark.storage.folders import table_to_write
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.locations import Location
from movierate_spark.storage.opened_table import OpenedTable
from movierate_spark.times import CLOCK_TOLERANCE

REJECTED = "_rejected"


@dataclass(frozen=True)
class Tables:
    """The tables of scores and of rejected requests, as they were when the run began."""

    scores: OpenedTable
    rejected: OpenedTable

    def hold(self, day: date, counts: RequestCounts, *, number: int) -> bool:
        """Whether all rows of a run date are there, from a commit with this transaction number."""
        parts = (self.scores, counts.scored), (self.rejected, counts.rejected)
        return all(
            table.transaction(_name(day)) == number and table.rows(day) == rows for table, rows in parts
        )


def score_requests(
    bundle: Bundle,
    lake: Lake,
    settings: Settings,
    progress: Progress,
    *,
    target: Location,
    request: ScoringRequest,
) -> Iterator[RunDateOutcome]:
    """Score each run date's requests into its partition, with one commit per date; yields the outcomes.

    A date is unchanged if it was scored from the same inputs by the same release and its rows are still
    there. The features of several dates are computed together (``score.dates_at_once``), each as of its own
    time.

    Raises:
        InputError: the only delivery can't be read, or ``target`` holds something else.
        MovierateError: a delivery changed while it was read.
        ConflictError: another run has published one of these dates meanwhile.
    """
    tables = Tables(
        table_to_write(target, "scores", schemas.SCORES, {REJECTED}),
        table_to_write(target / REJECTED, "scores", schemas.REJECTED_REQUESTS),
    )
    made_of = [lake.ledger_sha256, bundle.manifest_sha256, request.reasons, release_of("movierate-spark")]

    def number(counts: RequestCounts) -> int:
        return number_of(*made_of, asdict(counts))

    def is_done(day: date, counts: RequestCounts) -> bool:
        return tables.hold(day, counts, number=number(counts))

    to_score = []
    for each in due_deliveries(lake.ratings.sparkSession, request, judge=_judge(settings), is_done=is_done):
        if isinstance(each, RunDateOutcome):
            yield each
        else:
            to_score.append(each)
    size = settings.score.dates_at_once
    for batch in (to_score[i : i + size] for i in range(0, len(to_score), size)):
        lines = reduce(DataFrame.unionByName, (each.lines for each in batch))
        with _scored_once(bundle, lake, lines, request, dates=len(batch)) as scored:
            for each in batch:
                day = each.run_date
                with progress.step(f"score {each.requested} for {day}"):
                    transaction = Transaction(_name(day), number(each.counts))
                    version = _publish(each, scored, tables, transaction)
                yield RunDateOutcome(
                    day, "scored", each.requested, counts=each.counts.described(), version=version
                )


def _name(run_date: date) -> str:
    """The name of a run date's transaction in the table's log."""
    return f"score/{run_date.isoformat()}"


def _judge(settings: Settings) -> Callable[[DataFrame], DataFrame]:
    """Adds the rule that a line breaks. What is in the future does not change during a run."""
    return partial(
        requests.with_rule,
        earliest=settings.validate_.rated_at_min,
        latest=datetime.now(UTC) + CLOCK_TOLERANCE,
    )


@contextmanager
def _scored_once(
    bundle: Bundle, lake: Lake, lines: DataFrame, request: ScoringRequest, *, dates: int
) -> Iterator[DataFrame]:
    """The scores of the lines, cached during the block if it reads them for several dates."""
    with persisted(requests.readable(lines)) as parsed:
        scored = bundle.predict(lake, parsed, reasons=request.reasons)
        with nullcontext(scored) if dates == 1 else persisted(scored) as scores:
            yield scores


def _publish(each: DueDelivery, scored: DataFrame, tables: Tables, transaction: Transaction) -> int:
    """Write a run date's rows, check that none is missing, and commit them; returns the scores' version."""
    day, counts = each.run_date, each.counts
    is_day = F.col("run_date") == F.lit(day)
    bad_rows = requests.unreadable(each.lines)
    if not counts.rejected:  # usually none: do not read the requests again
        bad_rows = bad_rows.limit(0)
    scores, rejected = tables.scores, tables.rejected
    with (
        attempt_to_write(bad_rows, rejected.path, schemas.REJECTED_REQUESTS, run_date=day) as bad,
        attempt_to_write(scored.where(is_day), scores.path, schemas.SCORES, run_date=day) as good,
    ):
        if (good.rows, bad.rows) != (counts.scored, counts.rejected) or not each.delivery.is_as_it_was():
            raise MovierateError(
                f"{scores.path}: {good.rows} scores and {bad.rows} rejected rows were written for {day},"
                f" {counts.scored} and {counts.rejected} counted: did the requests change"
                " meanwhile?"
            )
        commit(bad, to=rejected, transaction=transaction)
        return commit(good, to=scores, transaction=transaction)
