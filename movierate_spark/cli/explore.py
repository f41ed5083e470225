"""explore: a report about the lake's ratings."""

from __future__ import annotations

from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption
from movierate_spark.cli.run import Run


@app.command()
def explore(
    lake: LakeOption,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for report.html and its tables.")],
    config: ConfigOption = None,
) -> None:
    """Write a report about the ratings in the lake.

    It shows who rates how much, who likes what, and which movies divide opinions.
    """
    from movierate_spark.storage.lake import open_lake, read_ledger
    from movierate_spark.workflows.explore import explore_lake

    run = Run("explore", config)
    source, target = run.locations(lake, out)
    read_ledger(source)  # fails before Spark starts if there is no lake
    with run.spark() as spark, run.recorded(target) as record:
        prepared = open_lake(spark, source)
        record.inputs = prepared.described()
        totals = explore_lake(prepared, run.settings, run.progress, target=target)
        record.counts = {name: totals[name] for name in ("ratings", "people", "movies")}
    run.say("{ratings} ratings by {people} people of {movies} movies".format(**totals))
    run.say(f"report: {target / 'report.html'}")
