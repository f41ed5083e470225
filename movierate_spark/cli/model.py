"""train and evaluate: the model, and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from movierate_spark import workflows as pipeline
from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, UntilOption, time_of
from movierate_spark.cli.output import show_metrics
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError


@app.command()
def train(
    lake: LakeOption, model: ModelOption, until: UntilOption = None, config: ConfigOption = None
) -> None:
    """Fit the model on ratings before T, choose its penalty by cross-validation, and measure it."""
    end = time_of(until, "--until")
    run = Run("train", config)
    with run.spark() as spark, run.recorded(model) as record:
        bundle = pipeline.train_model(
            spark, run.settings, run.report, source=lake, target=model, until=end, inputs=record.inputs
        )
        record.counts, record.outputs = {"trained": bundle.manifest["training"]["rows"]}, bundle.described()
    training, label = bundle.manifest["training"], bundle.manifest["label"]
    run.say(f"liked: {label['threshold']:g} or more")
    run.say(f"trained on {training['rows']} ratings before {training['until']}")
    run.say(f"measured on ratings from {training['test_from']} on, which the measured model had not seen")
    show_metrics(run.out, bundle.manifest["metrics"])
    run.say(f"bundle: {model} (version {bundle.version})")


@app.command()
def evaluate(
    lake: LakeOption,
    model: ModelOption,
    since: Annotated[
        str,
        typer.Option("--since", metavar="T", help="Ratings from T on: epoch seconds or ISO 8601 (UTC)."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where report.html and metrics.json go.")],
    until: UntilOption = None,
    min_user_history: Annotated[
        int,
        typer.Option("--min-user-history", metavar="N", min=0, help="Only users with N earlier ratings."),
    ] = 0,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Measure on ratings the model was trained on, too.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="Another bundle, measured on the same rows."),
    ] = None,
    leakage_cost: Annotated[
        bool,
        typer.Option("--leakage-cost", help="Also measure what a random split and looking ahead would buy."),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Measure a bundle on ratings it has not seen, beside simple baselines on the same rows."""
    start, end = time_of(since, "--since"), time_of(until, "--until")
    if start is None or (end is not None and end <= start):
        raise InputError(f"--until {until} is not after --since {since}")
    run = Run("evaluate", config)
    with run.spark() as spark, run.recorded(out) as record:
        metrics = pipeline.evaluate_model(
            spark,
            run.settings,
            run.report,
            source=lake,
            model=model,
            target=out,
            measured=pipeline.Measured(start, end, min_user_history, allow_overlap),
            against=against,
            with_leakage_cost=leakage_cost,
            inputs=record.inputs,
        )
        record.counts = {"evaluated": metrics["rows"]}
    show_metrics(run.out, metrics)
    run.say(f"report: {out / 'report.html'}")
    run.say(f"metrics: {out / 'metrics.json'}")
