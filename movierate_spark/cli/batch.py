"""batch: several commands in one Spark session."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import date
from typing import Annotated

import typer

from movierate_spark.cli.app import app
from movierate_spark.cli.execution import command_names, execute, problem_with_usage
from movierate_spark.cli.options import ConfigOption, day_of
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError

RUN_DATE = "{run_date}"


@app.command()
def batch(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A command per line: score --lake lake ...")],
    run_date: Annotated[
        str | None,
        typer.Option("--run-date", metavar="YYYY-MM-DD", help="The day that {run_date} stands for in FILE."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run several commands in one Spark session.

    The first command that fails ends the batch, with its exit status; wrong options are refused before any is
    run. Lines that begin with # are comments.
    The batch's --config is for every command. A --config in a line wins over it, but can't change Spark's
    settings.
    """
    day = None if run_date is None else day_of(run_date, "run_date")
    run = Run("batch", config)
    (location,) = run.locations(file)
    try:
        text = location.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: it can't be read ({type(error).__name__})") from error
    commands = list(commands_in(text, day, file=file))
    if not commands:
        raise InputError(f"{file}: there is no command in it")
    with run.spark() as session, Run.in_batch(session, config):
        for words in commands:
            run.say(f"+ movierate {shlex.join(words)}")
            if status := execute(words):
                raise typer.Exit(status)


def commands_in(text: str, day: date | None, *, file: str) -> Iterator[list[str]]:
    """The words of each command in the ``text`` of ``file``, in which ``day`` replaces ``{run_date}``.

    Raises:
        InputError: a line is not a command, or has a wrong option.
    """
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{file}: line {number}"
        if words := words_of(line, day, where=where):
            if problem := problem_with_usage(words):
                raise InputError(f"{where}: {problem}")
            yield words


def words_of(line: str, day: date | None, *, where: str) -> list[str]:
    """The words of a command, quoted as in a shell; none if the line is empty or a comment.

    The ``day`` replaces ``{run_date}``. ``{date}`` stays: ``score`` replaces it by each of its run dates.

    Raises:
        InputError: the line does not begin with the name of a command, a quote is not closed, or the line
            needs a day and there is none.
    """
    try:
        words = [] if line.lstrip().startswith("#") else shlex.split(line)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    if words and words[0] not in command_names() - {"batch"}:
        raise InputError(f"{where}: {words[0]} is no command; write it as: score --lake lake ...")
    if day is None and any(RUN_DATE in word for word in words):
        raise InputError(f"{where}: {RUN_DATE} is in it: give --run-date")
    return [word if day is None else word.replace(RUN_DATE, day.isoformat()) for word in words]
