"""This package beside what people would write instead, on the same simulated files.

Within a round, all take turns, each as a process of its own that reads files and leaves its result. The peers
have an environment of their own (``tests/peers-requirements.txt``).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from processes import Usage, movierate, run
from rich.console import Console
from rich.table import Table

PEERS = Path(__file__).parent / "peers"
SEED = 1
SHRINKAGES = ("5", "8", "5", "20")
TEXTBOOK = {
    "MOVIERATE__FEATURES__HISTORY": "false",
    "MOVIERATE__TRAIN__FOLDS": "3",
    "MOVIERATE__TRAIN__REG_PARAM": "[0.0001, 0.001, 0.01]",
    "MOVIERATE__TRAIN__ELASTIC_NET_PARAM": "[0.0, 0.5]",
    "MOVIERATE__TRAIN__MAX_ITER": "50",
}
"""Settings of the textbook's columns, folds and grid."""
Runs = Mapping[str, Callable[[Path], Usage]]


def models(delivery: Path, python: str) -> Runs:
    """From files to a model and its metrics."""

    def ours(out: Path, **environment: str) -> Usage:
        both = [
            movierate("prepare", "--input", delivery, "--lake", out / "lake", environment=environment),
            movierate("train", "--lake", out / "lake", "--model", out / "model", environment=environment),
        ]
        return both[0] + both[1]

    return {
        "ours as it comes": ours,
        "ours with the textbook's columns, folds and grid": lambda out: ours(out, **TEXTBOOK),
        "textbook PySpark": lambda out: run(
            [sys.executable, str(PEERS / "textbook.py"), str(delivery), str(out)]
        ),
        "pandas and scikit-learn": lambda _: run([python, str(PEERS / "pandas_sklearn.py"), str(delivery)]),
    }


def history(lake: Path, python: str) -> Runs:
    """From a lake's Parquet files to Parquet files with the history of every rating."""
    cores = str(os.cpu_count())
    return {
        "ours": lambda out: run(
            [sys.executable, str(PEERS / "our_history.py"), str(lake), str(out / "rows")]
        ),
        "DuckDB": lambda out: run(
            [
                python,
                str(PEERS / "duckdb_history.py"),
                str(lake),
                str(out / "rows.parquet"),
                cores,
                *SHRINKAGES,
            ]
        ),
    }


def measure(runs: Runs, below: Path, rounds: int) -> dict[str, list[Usage]]:
    """What each takes in each round; who begins takes turns."""
    found: dict[str, list[Usage]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            out = below / "out"
            out.mkdir()
            found[name].append(runs[name](out))
            shutil.rmtree(out)
            sys.stderr.write(f"round {number + 1} of {rounds}: {name} {found[name][-1].seconds:.1f} s\n")
    return found


def show(found: Mapping[str, list[Usage]], title: str) -> None:
    """Seconds and peak memory of each, and its time as a multiple of the first's within a round."""
    table = Table(title=title)
    table.add_column("")
    for column in ("seconds", "peak MB", "times the first"):
        table.add_column(column, justify="right")
    first = next(iter(found.values()))
    for name, usages in found.items():
        ratios = [usage.seconds / other.seconds for usage, other in zip(usages, first, strict=True)]
        table.add_row(
            name,
            f"{statistics.median(usage.seconds for usage in usages):.1f}",
            str(max(sum(usage.peak_mb.values()) for usage in usages)),
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        )
    Console().print(table)


def main(
    what: Annotated[str, typer.Argument(help="models or history.")],
    python: Annotated[str, typer.Option(help="The interpreter of the peers' environment.")],
    ratings: Annotated[int, typer.Option(min=1000)] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    data: Annotated[
        Path | None, typer.Option(help="Files like those of MovieLens 1M, not simulated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Time this package and its peers."""
    with tempfile.TemporaryDirectory() as folder:
        delivery, lake = data or Path(folder) / "input", Path(folder) / "lake"
        if data is None:
            movierate("simulate", "--out", delivery, "--ratings", ratings, "--seed", SEED)
        if what == "history":
            movierate("prepare", "--input", delivery, "--lake", lake)
        runs = history(lake, python) if what == "history" else models(delivery, python)
        found = measure(runs, Path(folder), rounds)
    size = data.name if data else f"{ratings:,} ratings"
    show(found, f"{what}, {size}, {os.cpu_count()} cores, median of {rounds}")
    if out is not None:
        described = {"machine": platform.platform(), "cores": os.cpu_count(), "data": size}
        figures = {name: [vars(usage) for usage in usages] for name, usages in found.items()}
        out.write_text(json.dumps({**described, what: figures}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
