"""train: from a lake to a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, UntilOption, time_of
from movierate_spark.cli.run import Run

if TYPE_CHECKING:
    from movierate_spark.storage.documents import TrainingInterval


@app.command()
def train(
    lake: LakeOption, model: ModelOption, until: UntilOption = None, config: ConfigOption = None
) -> None:
    """Fit the model, and measure it on the last ratings.

    Only ratings before T are used. Cross-validation chooses the penalty.
    """
    from movierate_spark.cli.output import show_metrics
    from movierate_spark.storage.lake import open_lake, read_ledger
    from movierate_spark.workflows.train import train_model

    end = time_of(until, "until")
    run = Run("train", config)
    source, target = run.locations(lake, model)
    read_ledger(source)  # fails before Spark starts if there is no lake
    with run.spark() as spark, run.recorded(target) as record:
        prepared = open_lake(spark, source)
        record.inputs = prepared.described()
        bundle = train_model(prepared, run.settings, run.progress, target=target, until=end)
        record.counts, record.outputs = {"trained": bundle.manifest.training.rows}, bundle.described()
    training, label = bundle.manifest.training, bundle.manifest.label
    run.say(f"liked: {label.min_rating:g} or more")
    run.say(f"trained on {_trained_on(training)} before {training.fitted_until}")
    run.say(f"measured on ratings from {training.test_from} on, which the measured model had not seen")
    show_metrics(run.out, bundle.manifest.metrics)
    run.say(f"bundle: {model} (version {bundle.version})")


def _trained_on(training: TrainingInterval) -> str:
    if training.user_fraction == 1:
        return f"{training.rows} ratings"
    users = f"those of {training.user_fraction:.1%} of the users, by train.max_rows"
    return f"{training.rows} of {training.ratings} ratings ({users})"
