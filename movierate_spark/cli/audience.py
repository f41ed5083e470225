"""audience: the segments of users most likely to like a movie."""

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
        str | None, typer.Option("--genres", metavar="A|B", help="The genres of a new movie.")
    ] = None,
    year: Annotated[
        int | None,
        typer.Option("--year", metavar="Y", min=1870, max=2100, help="The release year of a new movie."),
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="As of T (default: after the last rating).")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many segments to list.")] = 15,
    config: ConfigOption = None,
) -> None:
    """List who would like a movie.

    The movie is one of the lake or a new one. Segments of users are listed, the most likely first.
    """
    from movierate_spark.cli.output import show_audience
    from movierate_spark.model.bundle import open_bundle
    from movierate_spark.storage.lake import open_lake, read_ledger
    from movierate_spark.workflows.audience import Film, audience_of

    second = time_of(at, "at")
    if (movie is None) == (genres is None and year is None):
        raise InputError("name a movie with --movie, or a new one with --genres and --year")
    film = Film(movie, [name for name in (genres or "").split("|") if name], year)
    run = Run("audience", config)
    source, bundle_folder = run.locations(lake, model)
    read_ledger(source)  # fails before Spark starts if there is no lake
    bundle = open_bundle(bundle_folder)
    with run.spark() as spark:
        prepared = open_lake(spark, source)
        segments = audience_of(bundle, prepared, run.settings, run.progress, film=film, at=second)
    show_audience(run.out, segments.head(top))
