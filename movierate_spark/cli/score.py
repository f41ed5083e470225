"""score: requests to their run dates' scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, days_of
from movierate_spark.cli.run import Run

if TYPE_CHECKING:
    from movierate_spark.workflows import RunDateOutcome

RequestsOption = Annotated[
    str,
    typer.Option(
        "--requests",
        metavar="PATH",
        help="CSV or Parquet: user_id, movie_id, maybe at and run_date; {date} stands for the run date.",
    ),
]
ScoresOption = Annotated[Path, typer.Option("--scores", metavar="DIR", help="The scores table.")]
RunDateOption = Annotated[
    str | None, typer.Option("--run-date", metavar="YYYY-MM-DD", help="The day these scores belong to.")
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="Backfill: the first run date.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Backfill: the last run date.")
]
ReasonsOption = Annotated[
    int | None, typer.Option("--reasons", metavar="N", min=0, help="How many reasons to name; 0: none.")
]
ExpectRowsOption = Annotated[
    int | None, typer.Option("--expect-rows", metavar="N", min=0, help="Refuse a delivery of other size.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Score again what was scored from the same inputs.")
]


@app.command()
def score(
    lake: LakeOption,
    model: ModelOption,
    requests: RequestsOption,
    scores: ScoresOption,
    run_date: RunDateOption = None,
    first: FromOption = None,
    last: ToOption = None,
    reasons: ReasonsOption = None,
    expect_rows: ExpectRowsOption = None,
    force: ForceOption = False,
    config: ConfigOption = None,
) -> None:
    """Score a day's requests.

    The scores replace those of the run date in one commit.
    """
    from movierate_spark import workflows
    from movierate_spark.cli.output import scored_lines
    from movierate_spark.model.bundle import open_bundle
    from movierate_spark.storage.lake import open_lake, read_ledger

    days = days_of(run_date, first, last)
    run = Run("score", config)
    count = run.settings.score.reasons if reasons is None else reasons
    asked = workflows.ScoringRequest(requests, days, count, force=force, expected_rows=expect_rows)
    read_ledger(lake)  # says what is wrong before Spark starts
    bundle = open_bundle(model)
    asked.check_there()
    with run.spark() as spark:
        opened = open_lake(spark, lake)
        outcomes = workflows.score_requests(
            bundle, opened, run.settings, run.progress, target=scores, asked=asked
        )
        inputs = opened.described() | bundle.described()
        found = list(_recorded_dates(run, outcomes, scores, inputs=inputs))
    run.say_all(scored_lines(found))
    workflows.check_deliveries(asked, found)
    run.say(f"scores: {scores}" + (f" (run_date={days[0]})" if len(days) == 1 else ""))


def _recorded_dates(
    run: Run, results: Iterator[RunDateOutcome], scores: Path, *, inputs: dict[str, Any]
) -> Iterator[RunDateOutcome]:
    """The results as they come, each that was looked into with a record of its own."""
    while True:
        with run.recorded(scores) as record:
            result = next(results, None)
            record.kept = result is not None and result.outcome in ("scored", "unchanged")
            if result is not None:
                record.inputs = {**inputs, "requests": result.requested}
                record.run_date = result.run_date.isoformat()
                record.outcome = "unchanged" if result.outcome == "unchanged" else "done"
                record.counts = {"requests": dict(result.counts)}
                record.outputs = {"version": result.version}
        if result is None:
            return
        yield result
