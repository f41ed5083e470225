"""audience: who would like a movie."""

from __future__ import annotations

from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, time_of
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError


@app.command()
def audience(
    lake: LakeOption,
    model: ModelOption,
    movie: Annotated[int | None, typer.Option("--movie", metavar="ID", help="A movie of the lake.")] = None,
    genres: Annotated[
        str | None, typer.Option("--genres", metavar="A|B", help="Instead: the genres of a new movie.")
    ] = None,
    year: Annotated[int | None, typer.Option("--year", metavar="Y", help="The new movie's year.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="As of T; else as of the last rating.")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many segments to list.")] = 15,
    config: ConfigOption = None,
) -> None:
    """List who would like a movie.

    The movie is one of the lake's, or a new one; segments of users are listed, the likeliest first.
    """
    from movierate_spark import workflows
    from movierate_spark.cli.output import show_audience
    from movierate_spark.model.bundle import open_bundle
    from movierate_spark.storage.lake import open_lake, read_ledger

    second = time_of(at, "--at")
    if (movie is None) == (genres is None and year is None):
        raise InputError("name a movie with --movie, or a new one with --genres and --year")
    film = workflows.Film(movie, [name for name in (genres or "").split("|") if name], year)
    run = Run("audience", config)
    read_ledger(lake)  # says what is wrong before Spark starts
    bundle = open_bundle(model)
    with run.spark() as spark:
        opened = open_lake(spark, lake)
        found = workflows.audience_of(bundle, opened, run.settings, run.progress, film=film, at=second)
    show_audience(run.out, found.head(top))
