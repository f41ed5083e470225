"""explore: a report about the lake's ratings."""

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
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for report.html and its tables.")],
    config: ConfigOption = None,
) -> None:
    """Write a report about the ratings in the lake.

    It shows who rates how much, who likes what, and which movies divide opinions.
    """
    from movierate_spark import workflows
    from movierate_spark.storage.lake import open_lake, read_ledger

    run = Run("explore", config)
    read_ledger(lake)  # fails before Spark starts if there is no lake
    with run.spark() as spark, run.recorded(out) as record:
        prepared = open_lake(spark, lake)
        record.inputs = prepared.described()
        totals = workflows.explore_lake(prepared, run.settings, run.progress, target=out)
        record.counts = {name: totals[name] for name in ("ratings", "people", "movies")}
    run.say("{ratings} ratings by {people} people of {movies} movies".format(**totals))
    run.say(f"report: {out / 'report.html'}")
