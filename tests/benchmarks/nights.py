"""A night on logs of several sizes: ``prepare --add`` of new ratings, and ``score`` of the requests of a day.

The sizes take turns within a round. The first delivery on top of a lake makes its state from the whole log.
What it takes is stated apart.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from processes import Usage, movierate, write_figures
from rich.console import Console
from rich.table import Table

SEED = 1
DELIVERED = 20_000
PER_USER = 50
NIGHT = ("prepare --add", "score")
Rounds = dict[str, list[Usage]]


def split(whole: Path, below: Path, rounds: int) -> None:
    """Cut a simulation into a base and a delivery for each night: the last ratings, oldest first."""
    file = whole / "ratings.dat"
    columns = ["user", "movie", "stars", "second"]
    log = pd.read_csv(file, sep=":", header=None, usecols=[0, 2, 4, 6], names=range(7))
    log.columns = pd.Index(columns)
    order = np.argsort(log["second"].to_numpy(), kind="stable")
    cut = len(log) - DELIVERED * (rounds + 1)
    parts = {"base": order[:cut]}
    for night in range(rounds + 1):
        first = cut + DELIVERED * night
        parts[f"night {night}"] = order[first : first + DELIVERED]
    for name, rows in parts.items():
        (below / name).mkdir(parents=True)
        chosen = log.iloc[np.sort(rows)]
        lines = chosen.to_csv(index=False, header=False, sep="\t").replace("\t", "::")
        (below / name / "ratings.dat").write_text(lines)
    for name in ("users.dat", "movies.dat"):
        shutil.copy(whole / name, below / "base" / name)


def write_requests(path: Path, rows: int, *, users: int, movies: int) -> None:
    """As many pairs: some users, each with movies that are asked for."""
    draw = random.Random(SEED)
    chosen = draw.sample(range(1, users + 1), min(users, rows // PER_USER))
    pairs = (f"{user},{draw.randint(1, movies)}\n" for user in chosen for _ in range(rows // len(chosen)))
    path.write_text("user_id,movie_id\n" + "".join(pairs))


def prepare_log(home: Path, ratings: int, requests: int, rounds: int, model: Path | None) -> Usage:
    """A lake with a state, and the requests; returns what the first delivery on top of it takes."""
    whole, lake = home / "whole", home / "lake"
    movierate("simulate", "--out", whole, "--ratings", ratings + DELIVERED * (rounds + 1), "--seed", SEED)
    split(whole, home, rounds)
    users = sum(1 for _ in (whole / "users.dat").open())
    movies = sum(1 for _ in (whole / "movies.dat").open(encoding="iso-8859-1"))
    shutil.rmtree(whole)
    write_requests(home / "requests.csv", requests, users=users, movies=movies)
    movierate("prepare", "--input", home / "base", "--lake", lake)
    shutil.rmtree(home / "base")
    if model is None:
        movierate("train", "--lake", lake, "--model", home / "model")
    return movierate("prepare", "--input", home / "night 0", "--lake", lake, "--add")


def night(home: Path, number: int, model: Path) -> dict[str, Usage]:
    """What the jobs of a night take."""
    lake = ("--lake", home / "lake")
    day = f"2010-01-{number:02}"
    scores = ("--scores", home / "scores", "--requests", home / "requests.csv", "--run-date", day)
    return {
        "prepare --add": movierate("prepare", "--input", home / f"night {number}", *lake, "--add"),
        "score": movierate("score", *lake, "--model", model, *scores),
    }


def show(nights: dict[int, Rounds], first: dict[int, Usage], rounds: int) -> None:
    """Seconds of each size, and their ratio to the smallest within a round."""
    smallest, *others = nights
    table = Table(title=f"{os.cpu_count()} cores, median of {rounds} nights, seconds")
    table.add_column("")
    for size in nights:
        table.add_column(f"{size:,} ratings", justify="right")
    for size in others:
        table.add_column(f"{size // smallest} times the log", justify="right")
    totals = {size: _sums(nights[size]) for size in nights}
    for name in (*NIGHT, "night"):
        seconds = {
            size: totals[size] if name == "night" else [usage.seconds for usage in nights[size][name]]
            for size in nights
        }
        cells = [f"{statistics.median(values):.1f}" for values in seconds.values()]
        for size in others:
            ratios = [a / b for a, b in zip(seconds[size], seconds[smallest], strict=True)]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        table.add_row(name, *cells)
    table.add_row(
        "first delivery", *(f"{usage.seconds:.1f}" for usage in first.values()), *[""] * len(others)
    )
    peaks = [
        max(sum(usage.peak_mb.values()) for name in NIGHT for usage in nights[size][name]) for size in nights
    ]
    table.add_row("peak memory, MB", *map(str, peaks), *[""] * len(others))
    Console().print(table)


def _sums(rounds: Rounds) -> list[float]:
    return [sum(usage.seconds for usage in usages) for usages in zip(*rounds.values(), strict=True)]


def main(
    sizes: Annotated[list[int], typer.Option("--ratings", help="Ratings in the log; repeatable.")] = [  # noqa: B006
        1_000_000,
        10_000_000,
    ],
    requests: Annotated[int, typer.Option(min=1)] = 100_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Time nights on simulated logs. The model is that of the smallest log."""
    with tempfile.TemporaryDirectory() as folder:
        homes = {size: Path(folder) / str(size) for size in sizes}
        model = homes[sizes[0]] / "model"
        first = {
            size: prepare_log(home, size, requests, rounds, None if size == sizes[0] else model)
            for size, home in homes.items()
        }
        nights: dict[int, Rounds] = {size: {name: [] for name in NIGHT} for size in sizes}
        for number in range(1, rounds + 1):
            for size in sizes[:: -1 if number % 2 else 1]:
                for name, usage in night(homes[size], number, model).items():
                    nights[size][name].append(usage)
                    sys.stderr.write(f"round {number} of {rounds}: {size} {name} {usage.seconds:.1f} s\n")
    show(nights, first, rounds)
    write_figures(out, requests=requests, nights=nights, first_delivery=first)


if __name__ == "__main__":
    typer.run(main)
