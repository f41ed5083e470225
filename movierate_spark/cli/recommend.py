"""recommend: every user's best unseen movies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, time_of
from movierate_spark.cli.run import Run


@app.command()
def recommend(
    lake: LakeOption,
    model: ModelOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The table of recommendations.")],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many movies for each user.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="As of T; else as of the last rating.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Recommend again what was made from the same inputs.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Leave each user's best unseen movies."""
    from movierate_spark import workflows
    from movierate_spark.model.bundle import open_bundle
    from movierate_spark.storage.lake import open_lake, read_ledger

    second = time_of(at, "--at")
    run = Run("recommend", config)
    read_ledger(lake)  # says what is wrong before Spark starts
    bundle = open_bundle(model)
    with run.spark() as spark, run.recorded(out) as record:
        opened = open_lake(spark, lake)
        record.inputs = opened.described() | bundle.described()
        rows = workflows.recommend_movies(
            bundle, opened, run.settings, run.progress, target=out, count=top, at=second, force=force
        )
        record.outcome = "unchanged" if rows is None else "done"
        record.counts = {} if rows is None else {"recommended": rows}
    run.say(
        "unchanged: made from the same inputs before (--force does it again)"
        if rows is None
        else f"{rows} recommendations"
    )
    run.say(f"recommendations: {out}")
