"""The program that the commands belong to."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="movierate",
    help="How likely is a user to like a movie? From three rating files to honest scores, on Spark.",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
