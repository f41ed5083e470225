"""The command line: each command reads its settings, starts Spark and calls one workflow."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import typer
from typer.exceptions import TyperException

# Each module adds its commands, in the order in which --help lists them.
from movierate_spark.cli import (  # noqa: F401  # isort: skip
    prepare,
    explore,
    train,
    evaluate,
    score,
    recommend,
    audience,
    runs,
    vacuum,
    simulate,
    demo,
    doctor,
)
from movierate_spark.cli.app import app
from movierate_spark.cli.run import Run
from movierate_spark.errors import InputError, MovierateError, MovierateWarning

_PYTHONS_OWN = warnings.showwarning
OPTIONS = {"source": "input", "files": "config"}
"""Options that are not called like the parameter of the Python API."""


def main(arguments: Sequence[str] | None = None, *, profile: Literal["local", "cluster"] = "local") -> None:
    """Run one command and exit: 0 done, 1 failed, 2 bad usage or input, 3 lost to another run."""
    Run.profile = profile
    # py4j logs a lost JVM itself; our own line is enough.
    logging.getLogger().addHandler(logging.NullHandler())
    words = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        status = _status(
            lambda: app(words or ["--help"], standalone_mode=False, prog_name="movierate"), words
        )
    sys.exit(status if words else 2)


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Print our own warnings as a line, those of others as Python does."""
    if issubclass(category, MovierateWarning):
        _line("movierate", f"warning: {message}", 0)
    else:
        _PYTHONS_OWN(message, category, *where, **more)


def _status(command: Callable[[], Any], words: Sequence[str]) -> int:
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    name = " ".join(["movierate", *commands.intersection(words[:1])])
    try:
        return command() or 0
    except typer.Exit as exit_:
        return exit_.exit_code
    except TyperException as error:
        return _line(name, f"{error.format_message()} (see {name} --help)", 2)
    except InputError as error:
        return _line(name, _with_option(error), error.exit_status)
    except MovierateError as error:
        return _line(name, str(error), error.exit_status)
    except KeyboardInterrupt:
        return _line(name, "interrupted: what was published stays; run it again for the rest", 1)
    except Exception as error:
        from movierate_spark.cli.failures import describe

        return _line(name, describe(error), 1)


def _with_option(error: InputError) -> str:
    """The message, after the option that it is about."""
    return str(error) if error.argument is None else f"{option_of(error.argument)} {error}"


def option_of(argument: str) -> str:
    """The option that sets a parameter of the Python API."""
    return f"--{OPTIONS.get(argument, argument).replace('_', '-')}"


def _line(name: str, message: str, status: int) -> int:
    """Print a line to the error output; the exit status is given back."""
    from movierate_spark.progress import plain_console

    plain_console(stderr=True, soft_wrap=True).print(f"{name}: {' '.join(message.split())}")
    return status
