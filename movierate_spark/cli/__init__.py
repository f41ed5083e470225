"""The command line: each command reads its settings, starts Spark and calls one workflow."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal

# Each module adds its commands, in the order in which --help lists them.
from movierate_spark.cli import (  # noqa: F401  # isort: skip
    prepare,
    explore,
    train,
    evaluate,
    score,
    recommend,
    audience,
    batch,
    runs,
    vacuum,
    simulate,
    demo,
    doctor,
)
from movierate_spark.cli.execution import execute, print_error
from movierate_spark.cli.run import Run
from movierate_spark.errors import MovierateWarning

_PYTHONS_OWN = warnings.showwarning


def main(arguments: Sequence[str] | None = None, *, profile: Literal["local", "cluster"] = "local") -> None:
    """Run one command and exit with the status of :func:`movierate_spark.cli.execution.execute`."""
    Run.profile = profile
    # py4j logs a lost JVM itself; our own line is enough.
    logging.getLogger().addHandler(logging.NullHandler())
    words = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        status = execute(words)
    sys.exit(status if words else 2)


def _warn(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Print our own warnings as a line, those of others as Python does."""
    if issubclass(category, MovierateWarning):
        print_error(f"movierate: warning: {message}")
    else:
        _PYTHONS_OWN(message, category, *where, **more)
