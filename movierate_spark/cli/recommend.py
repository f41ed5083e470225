"""recommend: each user's best unseen movies."""

from __future__ import annotations

from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, time_of
from movierate_spark.cli.run import Run


@app.command()
def recommend(
    lake: LakeOption,
    model: ModelOption,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Table of recommendations.")],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="Movies per user.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="As of T (default: after the last rating).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Recommend again even if the inputs are the same.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Write a table of each user's best unseen movies."""
    from movierate_spark.model.bundle import open_bundle
    from movierate_spark.storage.lake import open_lake, read_ledger
    from movierate_spark.workflows.recommend import recommend_movies

    second = time_of(at, "at")
    run = Run("recommend", config)
    source, bundle_folder, target = run.locations(lake, model, out)
    read_ledger(source)  # fails before Spark starts if there is no lake
    bundle = open_bundle(bundle_folder)
    with run.spark() as spark, run.recorded(target) as record:
        prepared = open_lake(spark, source)
        record.inputs = prepared.described() | bundle.described()
        rows = recommend_movies(
            bundle, prepared, run.settings, run.progress, target=target, count=top, at=second, force=force
        )
        record.outcome = "unchanged" if rows is None else "done"
        record.counts = {} if rows is None else {"recommended": rows}
    run.say(
        "unchanged: made from the same inputs before (--force does it again)"
        if rows is None
        else f"{rows} recommendations"
    )
    run.say(f"recommendations: {out}")
