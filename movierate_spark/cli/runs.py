"""runs: the run records in folders."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption
from movierate_spark.cli.run import Run


@app.command()
def runs(
    folders: Annotated[
        list[str], typer.Argument(metavar="DIR...", help="Lakes, models, scores tables and report folders.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Full records, one JSON object per line.")] = False,
    config: ConfigOption = None,
) -> None:
    """List the runs that have written to folders.

    The oldest run of a folder comes first. Times are UTC.
    """
    from movierate_spark.cli.output import show_runs
    from movierate_spark.progress import plain_console
    from movierate_spark.storage.run_records import read_records

    run = Run("runs", config)
    locations, console = run.locations(*folders), plain_console(soft_wrap=True)
    with run.without_spark():
        records = read_records(locations)
        if as_json:
            for stored in records:
                console.print(json.dumps(stored.record.content() | {"where": stored.folder}))
        else:
            show_runs(console, records)
