"""simulate, demo and doctor: for whoever is new here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from movierate_spark.cli import examination
from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, SimulatedFormat
from movierate_spark.cli.output import demo_lines, ledger_lines, show_metrics
from movierate_spark.cli.run import Run
from movierate_spark.console import plain_console
from movierate_spark.simulation.files import simulate as make_data
from movierate_spark.workflows import demo as demonstration


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")],
    ratings: Annotated[int, typer.Option("--ratings", metavar="N", help="How many ratings.")],
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Another seed, other data.")] = 1,
    re_ratings: Annotated[
        float,
        typer.Option("--re-ratings", metavar="SHARE", help="How many of them are of a movie rated before."),
    ] = 0.0,
    format_: Annotated[
        SimulatedFormat, typer.Option("--format", help="How the files are written.")
    ] = SimulatedFormat.ML_1M,
    config: ConfigOption = None,
) -> None:
    """Make ratings, users and movies of any size, with a known truth in truth.json."""
    del format_  # one so far; the option is here so that scripts can already say it
    run = Run("simulate", config)
    with run.spark() as spark, run.report.step(f"simulate {ratings} ratings"):
        truth = make_data(spark, out, ratings=ratings, seed=seed, re_ratings=re_ratings)
    run.say(f"best AUC any model could reach: {truth['best_auc']:.4f}")
    run.say(f"best from demographics, genres and time alone: {truth['best_auc_base']:.4f}")
    run.say(f"files: {out}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything goes.")] = Path("demo"),
    config: ConfigOption = None,
) -> None:
    """Every job in turn on simulated data."""
    run = Run("demo", config)
    with run.spark() as spark:
        result = demonstration.run(spark, run.settings, run.report, out)
    run.say_all(ledger_lines(result.ledger))
    show_metrics(run.out, result.metrics)
    run.say_all(demo_lines(result))


@app.command()
def doctor() -> None:
    """Check Java, Python, PySpark, memory, time zone and paths: fine, or what to do."""
    console = plain_console(soft_wrap=True)
    findings = examination.examine()
    for finding in findings:
        state = "fine" if finding.fine else "MEND"
        remedy = "" if finding.fine else f": {finding.remedy}"
        console.print(f"{state}  {finding.what}: {finding.found}{remedy}")
    if not all(finding.fine for finding in findings):
        raise typer.Exit(2)
