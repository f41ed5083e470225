"""prepare: from three files to a lake."""

from __future__ import annotations

from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, Format, LakeOption, row_counts
from movierate_spark.cli.run import Run


@app.command()
def prepare(
    source: Annotated[str, typer.Option("--input", metavar="DIR", help="Folder of the three files.")],
    lake: LakeOption,
    format_: Annotated[Format, typer.Option("--format", help="Format of the files.")] = Format.AUTO,
    expect_rows: Annotated[
        list[str] | None,
        typer.Option("--expect-rows", metavar="TABLE=N", help="Refuse another number of rows; repeatable."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Prepare again even if the files are the same.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Turn the three files into a lake.

    Rows are checked, cleaned and stored. ledger.json accounts for every row.
    """
    from movierate_spark.cli.output import ledger_lines
    from movierate_spark.inputs.delivery import find_delivery
    from movierate_spark.workflows.prepare import Preparation, prepare_lake

    counts = row_counts(expect_rows or ())
    run = Run("prepare", config)
    folder, target = run.locations(source, lake)
    find_delivery(folder, format_name=format_.value, settings=run.settings.input)
    preparation = Preparation(folder, format_.value, counts, force)
    with run.spark() as spark, run.recorded(target) as record:
        prepared = prepare_lake(spark, run.settings, run.progress, preparation=preparation, target=target)
        ledger = prepared.ledger
        record.outcome = "done" if prepared.is_new else "unchanged"
        record.inputs = {"input": str(source), "files": ledger.inputs}
        record.counts = {name: counts.content() for name, counts in ledger.tables.items()}
        record.outputs = {"versions": ledger.versions}
    run.say_all(ledger_lines(ledger))
    if not prepared.is_new:
        run.say("unchanged: prepared from the same files before (--force does it again)")
    run.say(f"lake: {lake}")
