"""The history of every rating on one executor of one core, and on two: each is a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from peers import SEED, measure, prepared, script, show
from processes import movierate, write_figures

MEMORY_MB = 2048


def main(
    ratings: Annotated[int, typer.Option(min=1000)] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Time the history of simulated ratings."""
    with tempfile.TemporaryDirectory() as folder:
        below = Path(folder)
        movierate("simulate", "--out", below / "input", "--ratings", ratings, "--seed", SEED)
        lake = prepared(below / "input", below)
        masters = {
            f"{count} executor{'s' * (count > 1)}": f"local-cluster[{count},1,{MEMORY_MB}]"
            for count in (1, 2)
        }
        runs = {
            name: lambda rows, master=master: script(
                sys.executable, "our_history", lake, rows / "rows", master
            )
            for name, master in masters.items()
        }
        results = measure(runs, below, rounds)
    show(results, f"history of {ratings:,} ratings, {os.cpu_count()} cores, median of {rounds}")
    write_figures(out, ratings=ratings, executors=results)


if __name__ == "__main__":
    typer.run(main)
