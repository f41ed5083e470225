"""score: from requests to the scores of their run dates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, days_of
from movierate_spark.cli.run import Run

if TYPE_CHECKING:
    from movierate_spark.inputs.request_deliveries import RunDateOutcome
    from movierate_spark.storage.locations import Location

RequestsOption = Annotated[
    str,
    typer.Option(
        "--requests",
        metavar="PATH",
        help="CSV or Parquet with user_id, movie_id, optionally at and run_date;"
        " {date} stands for the run date.",
    ),
]
ScoresOption = Annotated[str, typer.Option("--scores", metavar="DIR", help="Table of scores.")]
RunDateOption = Annotated[
    str | None, typer.Option("--run-date", metavar="YYYY-MM-DD", help="The day the scores belong to.")
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="Backfill: the first run date.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Backfill: the last run date.")
]
ReasonsOption = Annotated[
    int | None, typer.Option("--reasons", metavar="N", min=0, help="Reasons per score; 0: none.")
]
ExpectRowsOption = Annotated[
    int | None, typer.Option("--expect-rows", metavar="N", min=0, help="Refuse another number of rows.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Score again even if the inputs are the same.")]


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
    """Score the requests of a run date, or of several.

    The new scores replace those of the run date in one commit.
    """
    from movierate_spark.cli.output import scored_lines
    from movierate_spark.inputs.request_deliveries import ScoringRequest, check_deliveries
    from movierate_spark.model.bundle import open_bundle
    from movierate_spark.storage.lake import open_lake, read_ledger
    from movierate_spark.workflows.score import score_requests

    days = days_of(run_date, first, last)
    run = Run("score", config)
    count = run.settings.score.reasons if reasons is None else reasons
    request = ScoringRequest(requests, days, count, force=force, expected_rows=expect_rows)
    source, bundle_folder, target, _ = run.locations(lake, model, scores, requests)
    read_ledger(source)  # fails before Spark starts if there is no lake
    bundle = open_bundle(bundle_folder)
    request.check_exists()
    with run.spark() as spark:
        prepared = open_lake(spark, source)
        results = score_requests(bundle, prepared, run.settings, run.progress, target=target, request=request)
        inputs = prepared.described() | bundle.described()
        outcomes = list(_with_records(run, results, target, inputs=inputs))
    run.say_all(scored_lines(outcomes))
    check_deliveries(request, outcomes)
    run.say(f"scores: {scores}" + (f" (run_date={days[0]})" if len(days) == 1 else ""))


def _with_records(
    run: Run, results: Iterator[RunDateOutcome], scores: Location, *, inputs: dict[str, Any]
) -> Iterator[RunDateOutcome]:
    """The results as they come; each date that was scored or unchanged leaves a run record."""
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
