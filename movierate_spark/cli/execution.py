"""Runs one command and turns what it raises into a line and an exit status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from movierate_spark.cli.app import app
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError, MovierateError

INTERRUPTED = 130
OPTIONS = {"source": "input", "files": "config"}
"""Options that are not called like the parameter of the Python API."""


def execute(words: Sequence[str]) -> int:
    """Run a command, such as ``["score", "--lake", "lake"]``; without words, print the help.

    Returns the exit status: 0 done, 1 failed, 2 bad usage or input, 3 lost to another run, 130 interrupted. A
    failure is one line on the error output.
    """
    name = " ".join(["movierate", *command_names().intersection(words[:1])])
    try:
        status = app(list(words) or ["--help"], standalone_mode=False, prog_name="movierate") or 0
        if status == INTERRUPTED and Run.session is None:  # Typer's status; a batch says it for its commands
            print_error(f"{name}: interrupted: what was published stays; run it again for the rest")
        return status
    except typer.Exit as exit_:
        return exit_.exit_code
    except TyperException as error:
        return _failed(name, _with_help(error, name), 2)
    except InputError as error:
        return _failed(name, _with_option(error), error.exit_status)
    except MovierateError as error:
        return _failed(name, str(error), error.exit_status)
    except Exception as error:
        from movierate_spark.cli.failures import describe

        return _failed(name, describe(error), 1)


def problem_with_usage(words: Sequence[str]) -> str | None:
    """What is wrong with a command's options, without running it; None if nothing is."""
    name, *options = words
    group = cast(TyperGroup, typer.main.get_command(app))
    try:
        with group.commands[name].make_context(f"movierate {name}", options):
            return None
    except typer.Exit:  # the option was --help
        return None
    except TyperException as error:
        return _with_help(error, f"movierate {name}")


def command_names() -> set[str]:
    """The names of all commands."""
    return {command.callback.__name__ for command in app.registered_commands if command.callback}


def option_of(argument: str) -> str:
    """The option that sets a parameter of the Python API."""
    return f"--{OPTIONS.get(argument, argument).replace('_', '-')}"


def print_error(line: str) -> None:
    """Print one line to the error output."""
    from movierate_spark.progress import plain_console

    plain_console(stderr=True, soft_wrap=True).print(" ".join(line.split()))


def _with_help(error: TyperException, name: str) -> str:
    return f"{error.format_message()} (see {name} --help)"


def _with_option(error: InputError) -> str:
    """The message, after the option that it is about."""
    return str(error) if error.argument is None else f"{option_of(error.argument)} {error}"


def _failed(name: str, message: str, status: int) -> int:
    print_error(f"{name}: {message}")
    return status
