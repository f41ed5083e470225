"""train: the lake to a bundle."""

from __future__ import annotations

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, LakeOption, ModelOption, UntilOption, time_of
from movierate_spark.cli.run import Run


@app.command()
def train(
    lake: LakeOption, model: ModelOption, until: UntilOption = None, config: ConfigOption = None
) -> None:
    """Fit, choose and measure the model.

    Only ratings before T are used. Cross-validation chooses the penalty; the last ratings measure the model.
    """
    from movierate_spark import workflows
    from movierate_spark.cli.output import show_metrics
    from movierate_spark.storage.lake import open_lake, read_ledger

    end = time_of(until, "--until")
    run = Run("train", config)
    read_ledger(lake)  # says what is wrong before Spark starts
    with run.spark() as spark, run.recorded(model) as record:
        opened = open_lake(spark, lake)
        record.inputs = opened.described()
        bundle = workflows.train_model(opened, run.settings, run.progress, target=model, until=end)
        record.counts, record.outputs = {"trained": bundle.manifest.training.rows}, bundle.described()
    training, label = bundle.manifest.training, bundle.manifest.label
    run.say(f"liked: {label.min_rating:g} or more")
    run.say(f"trained on {training.rows} ratings before {training.until}")
    run.say(f"measured on ratings from {training.test_from} on, which the measured model had not seen")
    show_metrics(run.out, bundle.manifest.metrics)
    run.say(f"bundle: {model} (version {bundle.version})")
