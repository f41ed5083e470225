"""How long each job takes as a whole process, beside another revision where one is named: `make bench`.

Both revisions do every job in every round, one after the other, and take turns in being first: what else the
machine does meets both alike, and the ratio within a round says more than either time.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from processes import ROOT, movierate, write_figures
from rich.console import Console
from rich.table import Table

SEED = 1
DAY = "2010-01-01"
JOBS = ("prepare", "explore", "train", "evaluate", "score", "recommend")
Seconds = dict[str, list[float]]


def arguments(job: str, delivery: Path, requests: Path, home: Path) -> list[str]:
    """A job's options; the jobs' outputs lie in ``home``."""
    lake, model = ("--lake", home / "lake"), ("--model", home / "model")
    options = {
        "prepare": ("--input", delivery, *lake),
        "explore": (*lake, "--out", home / "exploration"),
        "train": (*lake, *model),
        "evaluate": (*lake, *model, "--since", "0", "--allow-overlap", "--out", home / "evaluation"),
        "score": (*lake, *model, "--requests", requests, "--scores", home / "scores", "--run-date", DAY),
        "recommend": (*lake, *model, "--out", home / "best", "--top", 10),
    }
    return [job, *map(str, options[job])]


@contextmanager
def revisions(against: str | None, below: Path) -> Iterator[dict[str, Path]]:
    """The work tree and, where another revision is named, a checkout of it."""
    if against is None:
        yield {"here": ROOT}
        return
    other = below / "other"
    git = ("git", "-C", str(ROOT), "worktree")
    subprocess.run([*git, "add", "--quiet", "--detach", str(other), against], check=True)
    try:
        yield {"here": ROOT, against: other}
    finally:
        subprocess.run([*git, "remove", "--force", str(other)], check=True)


def write_requests(path: Path, rows: int, *, users: int, movies: int) -> None:
    """As many pairs of a user and a movie, some of them unknown."""
    draw = random.Random(SEED)
    pairs = (f"{draw.randint(1, users)},{draw.randint(1, movies)}\n" for _ in range(rows))
    path.write_text("user_id,movie_id\n" + "".join(pairs))


def measure(
    trees: dict[str, Path], delivery: Path, requests: Path, below: Path, rounds: int
) -> dict[str, Seconds]:
    """Seconds of each round by job and revision."""
    seconds: dict[str, Seconds] = {job: {name: [] for name in trees} for job in JOBS}
    for round_ in range(rounds):
        numbered = list(enumerate(trees))[:: -1 if round_ % 2 else 1]
        for job in JOBS:
            for number, name in numbered:
                words = arguments(job, delivery, requests, below / f"{round_}-{number}")
                taken = movierate(*words, tree=trees[name]).seconds
                sys.stderr.write(f"round {round_ + 1} of {rounds}: {job} {name} {taken:.1f} s\n")
                seconds[job][name].append(taken)
    return seconds


def show(seconds: dict[str, Seconds], title: str) -> None:
    """A line per job: medians, and the median, least and largest ratio within a round."""
    names = list(next(iter(seconds.values())))
    table = Table(title=title)
    table.add_column("job")
    for column in [*(f"{name}, s" for name in names), *(["ratio", "from", "to"] if len(names) > 1 else [])]:
        table.add_column(column, justify="right")
    for job, by_name in seconds.items():
        cells = [f"{statistics.median(by_name[name]):.1f}" for name in names]
        if len(names) > 1:
            ratios = [here / there for here, there in zip(*by_name.values(), strict=True)]
            cells += [f"{ratio:.2f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios))]
        table.add_row(job, *cells)
    Console().print(table)


def main(
    against: Annotated[str | None, typer.Option(help="Another revision to take turns with.")] = None,
    ratings: Annotated[int, typer.Option(min=1000, help="How many ratings are simulated.")] = 1_000_000,
    requests: Annotated[int, typer.Option(min=1, help="How many requests are scored.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Time the jobs on simulated ratings."""
    with tempfile.TemporaryDirectory() as folder, revisions(against, Path(folder)) as trees:
        home = Path(folder)
        delivery, file = home / "input", home / "requests.csv"
        movierate("simulate", "--out", delivery, "--ratings", ratings, "--seed", SEED)
        write_requests(file, requests, users=ratings // 160, movies=4000)
        seconds = measure(trees, delivery, file, home, rounds)
    show(seconds, f"{ratings} ratings, {requests} requests, {os.cpu_count()} cores, median of {rounds}")
    write_figures(out, ratings=ratings, requests=requests, seconds=seconds)


if __name__ == "__main__":
    typer.run(main)
