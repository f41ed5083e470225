"""score, recommend and audience: what the model is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from movierate_spark import workflows as pipeline
from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, days_of, time_of
from movierate_spark.cli.output import scored_lines, show_audience
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError


@app.command()
def score(
    lake: LakeOption,
    model: ModelOption,
    requests: Annotated[
        str,
        typer.Option(
            "--requests",
            metavar="PATH",
            help="CSV or Parquet: user_id, movie_id, maybe at and run_date; {date} stands for the run date.",
        ),
    ],
    scores: Annotated[Path, typer.Option("--scores", metavar="DIR", help="The scores table.")],
    run_date: Annotated[
        str | None, typer.Option("--run-date", metavar="YYYY-MM-DD", help="The day these scores belong to.")
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="Backfill: the first run date.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Backfill: the last run date.")
    ] = None,
    reasons: Annotated[
        int | None, typer.Option("--reasons", metavar="N", min=0, help="How many reasons to name; 0: none.")
    ] = None,
    expect_rows: Annotated[
        int | None, typer.Option("--expect-rows", metavar="N", min=0, help="Refuse a delivery of other size.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Score again what was scored from the same inputs.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Score requests into their run date's partition, replacing what was there in one commit."""
    days = days_of(run_date, first, last)
    run = Run("score", config)
    count = run.settings.score.reasons if reasons is None else reasons
    asked = pipeline.Asked(requests, days, count, force=force, expected_rows=expect_rows)
    with run.spark() as spark:
        inputs: dict[str, Any] = {}
        results = pipeline.score_requests(
            spark,
            run.settings,
            run.report,
            source=lake,
            model=model,
            target=scores,
            asked=asked,
            inputs=inputs,
        )
        found = list(_recorded_dates(run, results, scores, inputs=inputs))
    run.say_all(scored_lines(found))
    pipeline.check_deliveries(asked, found)
    run.say(f"scores: {scores}" + (f" (run_date={days[0]})" if len(days) == 1 else ""))


def _recorded_dates(
    run: Run, results: Iterator[pipeline.Scored], scores: Path, *, inputs: dict[str, Any]
) -> Iterator[pipeline.Scored]:
    """The results as they come, each that was looked into with a record of its own.

    ``inputs`` are filled while the first one is made.
    """
    while True:
        with run.recorded(scores) as record:
            result = next(results, None)
            record.kept = result is not None and result.outcome in ("scored", "unchanged")
            if result is not None:
                record.inputs = {**inputs, "requests": result.requested}
                record.run_date = result.run_date.isoformat()
                record.outcome = "done" if result.outcome == "scored" else result.outcome
                record.counts = {"requests": dict(result.counts)}
                record.outputs = {"version": result.version}
        if result is None:
            return
        yield result


@app.command()
def recommend(
    lake: LakeOption,
    model: ModelOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The table of recommendations.")],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many movies for each user.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="As of T; else as of the last rating.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Recommend again what was made from the same inputs.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Leave each user's best movies among those that he has not rated."""
    second = time_of(at, "--at")
    run = Run("recommend", config)
    with run.spark() as spark, run.recorded(out) as record:
        rows = pipeline.recommend_movies(
            spark,
            run.settings,
            run.report,
            source=lake,
            model=model,
            target=out,
            count=top,
            at=second,
            force=force,
            inputs=record.inputs,
        )
        record.outcome = "unchanged" if rows is None else "done"
        record.counts = {} if rows is None else {"recommended": rows}
    run.say(
        "unchanged: made from the same inputs before (--force does it again)"
        if rows is None
        else f"{rows} recommendations"
    )
    run.say(f"recommendations: {out}")


@app.command()
def audience(
    lake: LakeOption,
    model: ModelOption,
    movie: Annotated[int | None, typer.Option("--movie", metavar="ID", help="A movie of the lake.")] = None,
    genres: Annotated[
        str | None, typer.Option("--genres", metavar="A|B", help="Instead: the genres of a new movie.")
    ] = None,
    year: Annotated[int | None, typer.Option("--year", metavar="Y", help="The new movie's year.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="As of T; else as of the last rating.")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many segments to list.")] = 15,
    config: ConfigOption = None,
) -> None:
    """List the segments of users most likely to like a movie, one of the lake's or a new one."""
    second = time_of(at, "--at")
    if (movie is None) == (genres is None and year is None):
        raise InputError("name a movie with --movie, or a new one with --genres and --year")
    film = pipeline.Film(movie, [name for name in (genres or "").split("|") if name], year)
    run = Run("audience", config)
    with run.spark() as spark:
        found = pipeline.audience_of(
            spark, run.settings, run.report, source=lake, model=model, film=film, at=second
        )
    show_audience(run.out, found.head(top))
