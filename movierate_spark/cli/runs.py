"""runs: what runs have left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from movierate_spark.cli.app import app


@app.command()
def runs(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Lakes, models, scores tables, report folders.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Whole records, a JSON object a line.")] = False,
) -> None:
    """List what runs have left in folders.

    The oldest run of a folder comes first; times are UTC.
    """
    from movierate_spark.cli.output import show_runs
    from movierate_spark.progress import plain_console
    from movierate_spark.storage.run_records import read_records

    records = read_records(folders)
    console = plain_console(soft_wrap=True)
    if as_json:
        for stored in records:
            console.print(json.dumps(stored.record.content() | {"where": stored.folder}))
    else:
        show_runs(console, records)
