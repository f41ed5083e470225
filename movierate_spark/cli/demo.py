"""demo: one job after the other on simulated data."""

from __future__ import annotations

from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption
from movierate_spark.cli.run import Run


@app.command()
def demo(
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for all output.")] = "demo",
    config: ConfigOption = None,
) -> None:
    """Simulate ratings, then prepare, explore, train, evaluate, score and recommend."""
    from movierate_spark.cli.output import demo_lines, ledger_lines, show_metrics
    from movierate_spark.workflows import demo as demonstration

    run = Run("demo", config)
    (target,) = run.locations(out)
    with run.spark() as spark:
        result = demonstration.run(spark, run.settings, run.progress, target)
    run.say_all(ledger_lines(result.ledger))
    show_metrics(run.out, result.metrics)
    run.say_all(demo_lines(result))
