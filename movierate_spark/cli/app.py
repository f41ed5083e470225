"""The program that the commands belong to."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

app = typer.Typer(
    name="movierate",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help comes in half the time
)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"movierate-spark {version('movierate-spark')}")
        raise typer.Exit


@app.callback()
def movierate(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version, and no more."),
    ] = False,
) -> None:
    """How likely is a user to like a movie?

    From three rating files to honest scores, on Spark.
    """
