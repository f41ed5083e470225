"""prepare: from three files to a lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.options import ConfigOption, Format, LakeOption, row_counts
from movierate_spark.cli.run import Run

if TYPE_CHECKING:
    from movierate_spark.storage.locations import Location


@app.command()
def prepare(
    lake: LakeOption,
    source: Annotated[
        str | None, typer.Option("--input", metavar="DIR", help="Folder of the three files.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="Format of the files.")] = Format.AUTO,
    add: Annotated[
        bool,
        typer.Option("--add", help="Add what is new; any of the three files may be missing."),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Go back to the lake before its newest delivery.")
    ] = False,
    expect_rows: Annotated[
        list[str] | None,
        typer.Option("--expect-rows", metavar="TABLE=N", help="Refuse another number of rows; repeatable."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Prepare again even if the files are the same.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Turn the three files into a lake, or add to it.

    Rows are checked, cleaned and stored. ledger.json accounts for every row.
    """
    counts = row_counts(expect_rows or ())
    if undo and (source or add or force or counts or format_ is not Format.AUTO):
        raise typer.BadParameter("goes with --lake and --config only", param_hint="--undo")
    if not undo and source is None:
        raise typer.BadParameter("name the folder of the files", param_hint="--input")
    from movierate_spark.cli.output import held_line, ledger_lines
    from movierate_spark.inputs.delivery import find_delivery
    from movierate_spark.storage.lake import read_ledger
    from movierate_spark.workflows.add import add_delivery
    from movierate_spark.workflows.prepare import Preparation, prepare_lake

    run = Run("prepare", config)
    if source is None:
        (target,) = run.locations(lake)
        _undo(run, target)
        return
    folder, target = run.locations(source, lake)
    find_delivery(folder, format_name=format_.value, settings=run.settings.input, complete=not add)
    if add:
        read_ledger(target)  # fails before Spark starts if there is no lake
    preparation = Preparation(folder, format_.value, counts, force)
    work = add_delivery if add else prepare_lake
    with run.spark() as spark, run.recorded(target) as record:
        prepared = work(spark, run.settings, run.progress, preparation=preparation, target=target)
        delivery = prepared.delivery
        record.outcome = "done" if prepared.is_new else "unchanged"
        record.inputs = {"input": str(source), "files": delivery.inputs}
        record.counts = {name: counts.content() for name, counts in delivery.tables.items()}
        record.outputs = {"versions": prepared.ledger.versions}
    run.say_all(ledger_lines(delivery))
    if not prepared.is_new:
        what = "added" if add else "prepared"
        run.say(f"unchanged: {what} from the same files before (--force does it again)")
    run.say(f"lake: {lake}" + (f" ({held_line(prepared.ledger)})" if add else ""))


def _undo(run: Run, target: Location) -> None:
    from movierate_spark.cli.output import ledger_lines
    from movierate_spark.storage import lake as lakes
    from movierate_spark.storage.folders import lake_to_write

    with run.without_spark(), run.recorded(target) as record:
        ledger = lakes.undo(target, state=lake_to_write(target))
        record.inputs = {"undo": True}
        record.outputs = {"versions": ledger.versions}
    run.say_all(ledger_lines(ledger))
    run.say(f"lake: {target} (as before its newest delivery)")
