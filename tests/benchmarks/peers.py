"""This package beside what people would write instead, on the same simulated files.

Within a round, all take turns, each as a process of its own that reads files and leaves its result. The peers
have an environment of their own (``tests/peers-requirements.txt``).
"""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from processes import Usage, movierate, run, write_figures
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


def models(delivery: Path, _: Path, python: str) -> Runs:
    """From files to a model and its metrics; ours in one session."""

    def ours(out: Path, **environment: str) -> Usage:
        commands = out / "commands.txt"
        lake, model = str(out / "lake"), str(out / "model")
        lines = (
            ["prepare", "--input", str(delivery), "--lake", lake],
            ["train", "--lake", lake, "--model", model],
        )
        commands.write_text("".join(f"{shlex.join(line)}\n" for line in lines))
        return movierate("batch", commands, environment=environment)

    return {
        "ours as it comes": ours,
        "ours with the textbook's columns, folds and grid": lambda out: ours(out, **TEXTBOOK),
        "textbook PySpark": lambda out: script(sys.executable, "textbook", delivery, out),
        "pandas and scikit-learn": lambda _: script(python, "pandas_sklearn", delivery),
    }


def history(delivery: Path, below: Path, python: str) -> Runs:
    """From a lake's Parquet files to Parquet files with the history of every rating."""
    lake = prepared(delivery, below)
    return {
        "ours": lambda out: script(sys.executable, "our_history", lake, out / "rows"),
        "DuckDB": lambda out: script(
            python, "duckdb_history", lake, out / "rows.parquet", os.cpu_count(), *SHRINKAGES
        ),
    }


def fits(delivery: Path, below: Path, python: str) -> Runs:
    """One logistic regression, and the grid with its folds, on the same vectors in Parquet files."""
    lake, model, vectors = prepared(delivery, below), below / "model", below / "vectors"
    movierate("train", "--lake", lake, "--model", model)
    script(sys.executable, "our_vectors", lake, model, vectors)
    return {
        "ours": lambda _: script(sys.executable, "our_fits", vectors),
        "scikit-learn": lambda _: script(python, "sklearn_fits", vectors),
    }


def recommendations(delivery: Path, below: Path, _: str) -> Runs:
    """The best ten movies for every user from a model that is there, to a table."""
    lake, model, als = prepared(delivery, below), below / "model", below / "als"
    movierate("train", "--lake", lake, "--model", model)
    script(sys.executable, "als", "fit", lake, als)
    ours = ("recommend", "--lake", lake, "--model", model, "--top", 10)
    return {
        "ours": lambda out: movierate(*ours, "--out", out / "best"),
        "Spark ALS": lambda out: script(sys.executable, "als", "recommend", als, out / "best"),
    }


COMPARISONS = {each.__name__: each for each in (models, history, fits, recommendations)}


def prepared(delivery: Path, below: Path) -> Path:
    """The lake of the delivery."""
    movierate("prepare", "--input", delivery, "--lake", below / "lake")
    return below / "lake"


def script(python: str, name: str, *arguments: object) -> Usage:
    """Run a file of ``peers/``."""
    return run([python, str(PEERS / f"{name}.py"), *map(str, arguments)])


def measure(runs: Runs, below: Path, rounds: int) -> dict[str, list[Usage]]:
    """What each takes in each round; who begins takes turns."""
    results: dict[str, list[Usage]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            out = below / "out"
            out.mkdir()
            results[name].append(runs[name](out))
            shutil.rmtree(out)
            sys.stderr.write(f"round {number + 1} of {rounds}: {name} {results[name][-1].seconds:.1f} s\n")
    return results


def show(results: Mapping[str, list[Usage]], title: str) -> None:
    """Seconds and peak memory of each, its time as a multiple of the first's within a round, its figures."""
    table = Table(title=title)
    first = next(iter(results.values()))
    table.add_column("")
    for column in ("seconds", "peak MB", "times the first", *first[0].figures):
        table.add_column(column, justify="right")
    for name, usages in results.items():
        ratios = [usage.seconds / other.seconds for usage, other in zip(usages, first, strict=True)]
        table.add_row(
            name,
            f"{statistics.median(usage.seconds for usage in usages):.1f}",
            str(max(sum(usage.peak_mb.values()) for usage in usages)),
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            *(
                f"{statistics.median(usage.figures[name] for usage in usages):.6g}"
                for name in first[0].figures
            ),
        )
    Console().print(table)


def main(
    what: Annotated[str, typer.Argument(help=f"One of {', '.join(COMPARISONS)}.")],
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
        delivery = data or Path(folder) / "input"
        if data is None:
            movierate("simulate", "--out", delivery, "--ratings", ratings, "--seed", SEED)
        results = measure(COMPARISONS[what](delivery, Path(folder), python), Path(folder), rounds)
    size = data.name if data else f"{ratings:,} ratings"
    show(results, f"{what}, {size}, {os.cpu_count()} cores, median of {rounds}")
    write_figures(out, data=size, **{what: results})


if __name__ == "__main__":
    typer.run(main)
