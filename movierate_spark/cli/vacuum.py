"""vacuum: remove files that are no longer used."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError


@app.command()
def vacuum(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR...", help="Lakes, models, scores, and tables of recommendations or predictions."
        ),
    ],
    retention_hours: Annotated[
        float, typer.Option("--retention-hours", metavar="H", min=0, help="Keep files younger than H hours.")
    ] = 168,
    even_recent: Annotated[
        bool,
        typer.Option(
            "--even-recent",
            help="Also remove recent files. Give it only when no job is running.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    config: ConfigOption = None,
) -> None:
    """Remove files that are no longer used.

    These are attempts that were never published, and versions replaced longer ago than the retention.
    """
    from movierate_spark.progress import plain_console
    from movierate_spark.workflows.vacuum import floor_hours, vacuum_folder

    if not math.isfinite(retention_hours):
        raise InputError(f"{retention_hours}: give a number of hours", argument="retention_hours")
    run, console = Run("vacuum", config), plain_console(soft_wrap=True)
    with run.without_spark():
        for folder in run.locations(*folders):
            removed = vacuum_folder(
                folder, retention_hours=retention_hours, even_recent=even_recent, dry_run=dry_run
            )
            for path in removed if dry_run else ():
                console.print(str(path))
            floor = floor_hours(folder)
            if retention_hours < floor and not even_recent:
                console.print(
                    f"{folder}: files younger than {floor:g} hours stay, as a running job may use them"
                    " (--even-recent removes them)"
                )
            what = "would be removed" if dry_run else "removed"
            console.print(f"{folder}: {len(removed)} files or folders {what}")
