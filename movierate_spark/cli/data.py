"""prepare and explore: the three files, and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from movierate_spark import workflows as pipeline
from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, Format, LakeOption, row_counts
from movierate_spark.cli.output import ledger_lines
from movierate_spark.cli.run import Run


@app.command()
def prepare(
    source: Annotated[Path, typer.Option("--input", metavar="DIR", help="The folder of the three files.")],
    lake: LakeOption,
    format_: Annotated[Format, typer.Option("--format", help="How the files are written.")] = Format.AUTO,
    expect_rows: Annotated[
        list[str] | None,
        typer.Option("--expect-rows", metavar="TABLE=N", help="Refuse a delivery of other size; repeatable."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Prepare again what was prepared from the same files.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Check, clean and store the three files; every row is accounted for in ledger.json."""
    delivered = pipeline.Delivered(source, format_.value, row_counts(expect_rows or ()), force)
    run = Run("prepare", config)
    with run.spark() as spark, run.recorded(lake) as record:
        prepared = pipeline.prepare(spark, run.settings, run.report, delivered=delivered, target=lake)
        ledger = prepared.ledger
        record.outcome = "done" if prepared.is_new else "unchanged"
        record.inputs = {"input": str(source), "files": ledger["inputs"]}
        record.counts, record.outputs = ledger["tables"], {"versions": ledger["versions"]}
    run.say_all(ledger_lines(ledger))
    if not prepared.is_new:
        run.say("unchanged: prepared from the same files before (--force does it again)")
    run.say(f"lake: {lake}")


@app.command()
def explore(
    lake: LakeOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where report.html and its tables go.")],
    config: ConfigOption = None,
) -> None:
    """Show what is in the lake and who likes what, in a report to look at."""
    run = Run("explore", config)
    with run.spark() as spark, run.recorded(out) as record:
        totals = pipeline.explore_lake(
            spark, run.settings, run.report, source=lake, target=out, inputs=record.inputs
        )
        record.counts = {name: totals[name] for name in ("ratings", "people", "movies")}
    run.say("{ratings} ratings by {people} people of {movies} movies".format(**totals))
    run.say(f"report: {out / 'report.html'}")
