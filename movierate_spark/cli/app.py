"""The Typer application to which each command is added."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

app = typer.Typer(
    name="movierate",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is printed in half the time
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"movierate-spark {version('movierate-spark')}")
        raise typer.Exit


@app.callback()
def movierate(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Predict how likely a user is to like a movie.

    From three rating files to nightly scores, with Spark.
    """
