"""explore: what is in the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption
from movierate_spark.cli.run import Run


@app.command()
def explore(
    lake: LakeOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where report.html and its tables go.")],
    config: ConfigOption = None,
) -> None:
    """Show what is in the lake, in a report.

    Who rates how much, who likes what, which movies divide opinions.
    """
    from movierate_spark import workflows
    from movierate_spark.storage.lake import open_lake, read_ledger

    run = Run("explore", config)
    read_ledger(lake)  # says what is wrong before Spark starts
    with run.spark() as spark, run.recorded(out) as record:
        opened = open_lake(spark, lake)
        record.inputs = opened.described()
        totals = workflows.explore_lake(opened, run.settings, run.progress, target=out)
        record.counts = {name: totals[name] for name in ("ratings", "people", "movies")}
    run.say("{ratings} ratings by {people} people of {movies} movies".format(**totals))
    run.say(f"report: {out / 'report.html'}")
