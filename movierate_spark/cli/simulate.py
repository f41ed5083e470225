"""simulate: rating files of any size, with a known truth."""

from __future__ import annotations

from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption
from movierate_spark.cli.run import Run


@app.command()
def simulate(
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for the files.")],
    ratings: Annotated[int, typer.Option("--ratings", metavar="N", help="Number of ratings.")],
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Equal seeds give equal files.")] = 1,
    re_ratings: Annotated[
        float,
        typer.Option("--re-ratings", metavar="SHARE", help="Share of ratings of a movie rated before."),
    ] = 0.0,
    config: ConfigOption = None,
) -> None:
    """Write rating files of any size, with a known truth.

    truth.json holds the planted effects, the size of the planted taste, and the best AUC that any model could
    reach.
    """
    from movierate_spark.simulation.files import simulate as make_files

    run = Run("simulate", config)
    (target,) = run.locations(out)
    with run.spark() as spark, run.progress.step(f"simulate {ratings} ratings"):
        truth = make_files(spark, target, ratings=ratings, seed=seed, re_ratings=re_ratings)
    run.say(f"best AUC any model could reach: {truth['best_auc']:.4f}")
    run.say(f"best from exact levels of users and movies, without taste: {truth['best_auc_means']:.4f}")
    run.say(f"best from demographics, genres and time alone: {truth['best_auc_base']:.4f}")
    run.say(f"files: {out}")
