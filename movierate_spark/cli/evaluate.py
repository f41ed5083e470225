"""evaluate: a bundle's metrics on ratings it has not seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, UntilOption, time_of
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError
from movierate_spark.times import parse_time

SinceOption = Annotated[
    str, typer.Option("--since", metavar="T", help="Ratings at or after T: epoch seconds or ISO 8601 (UTC).")
]
OutOption = Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for the report and metrics.")]
MinUserHistoryOption = Annotated[
    int,
    typer.Option(
        "--min-user-history",
        metavar="N",
        min=0,
        help="Only ratings whose user has at least N earlier ones.",
    ),
]
AllowOverlapOption = Annotated[
    bool, typer.Option("--allow-overlap", help="Allow ratings that the model was trained on.")
]
AgainstOption = Annotated[
    str | None,
    typer.Option("--against", metavar="DIR", help="A second bundle, measured on the same ratings."),
]
LeakageCostOption = Annotated[
    bool,
    typer.Option("--leakage-cost", help="Also measure the gain from a random split and future ratings."),
]
AblateOption = Annotated[
    bool, typer.Option("--ablate", help="Also measure what each family of columns is worth.")
]


@app.command()
def evaluate(
    lake: LakeOption,
    model: ModelOption,
    since: SinceOption,
    out: OutOption,
    until: UntilOption = None,
    min_user_history: MinUserHistoryOption = 0,
    allow_overlap: AllowOverlapOption = False,
    against: AgainstOption = None,
    leakage_cost: LeakageCostOption = False,
    ablate: AblateOption = False,
    config: ConfigOption = None,
) -> None:
    """Measure a model on ratings it has not seen.

    Simple baselines are measured on the same ratings.
    """
    from movierate_spark.cli.output import show_metrics
    from movierate_spark.evaluation.window import EvaluationWindow
    from movierate_spark.model.bundle import open_bundle
    from movierate_spark.storage.lake import open_lake, read_ledger
    from movierate_spark.workflows.evaluate import evaluate_model

    start, end = parse_time(since, "since", now=datetime.now(UTC)), time_of(until, "until")
    window = EvaluationWindow(start, end, min_user_history, allow_overlap)
    run = Run("evaluate", config)
    source, bundle_folder, target, *others = run.locations(lake, model, out, *filter(None, [against]))
    read_ledger(source)  # fails before Spark starts if there is no lake
    bundle = open_bundle(bundle_folder)
    try:
        other = open_bundle(others[0]) if others else None
    except InputError as error:
        raise InputError(str(error), argument="against") from error
    with run.spark() as spark, run.recorded(target) as record:
        prepared = open_lake(spark, source)
        record.inputs = prepared.described() | bundle.described()
        metrics = evaluate_model(
            bundle,
            prepared,
            run.settings,
            run.progress,
            target=target,
            window=window,
            against=other,
            with_leakage_cost=leakage_cost,
            with_ablation=ablate,
        )
        record.counts = {"evaluated": metrics.rows}
    show_metrics(run.out, metrics)
    run.say(f"report: {target / 'report.html'}")
    run.say(f"metrics: {target / 'metrics.json'}")
