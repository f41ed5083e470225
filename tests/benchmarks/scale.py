"""Each job once on simulated logs of several sizes: seconds, ratings a second, and memory."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from jobs import JOBS, SEED, arguments, write_requests
from processes import Usage, movierate, write_figures
from rich.console import Console
from rich.table import Table

SIZES = (1_000_000, 10_000_000)
Jobs = dict[str, Usage]


def measure(home: Path, ratings: int, requests: int, jobs: list[str]) -> Jobs:
    """What each job takes on a new log."""
    delivery, file = home / "input", home / "requests.csv"
    usages = {"simulate": movierate("simulate", "--out", delivery, "--ratings", ratings, "--seed", SEED)}
    write_requests(file, requests, users=ratings // 160, movies=4000)
    for job in jobs:
        usages[job] = movierate(*arguments(job, delivery, file, home))
        sys.stderr.write(f"{ratings:,} ratings: {job} {usages[job].seconds:.1f} s {usages[job].peak_mb} MB\n")
    return usages


def show(results: dict[int, Jobs], jobs: list[str]) -> None:
    """A line per job; for each size its seconds, its ratings a second, and its processes' peak memory."""
    table = Table(title=f"Each job once, {os.cpu_count()} cores: seconds, ratings a second, peak GB")
    table.add_column("job")
    for size in results:
        table.add_column(f"{size:,} ratings", justify="right")
    for job in jobs:
        usages = [(size, usage[job]) for size, usage in results.items()]
        table.add_row(job, *(_cell(size, usage) for size, usage in usages))
    Console().print(table)


def _cell(ratings: int, usage: Usage) -> str:
    memory = sum(usage.peak_mb.values()) / 1000
    return f"{usage.seconds:,.0f} s, {ratings / usage.seconds:,.0f}/s, {memory:.1f} GB"


def main(
    ratings: Annotated[list[int] | None, typer.Option(help="Ratings in the log; repeatable.")] = None,
    job: Annotated[list[str] | None, typer.Option(help="A job, in order; repeatable.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="How many requests are scored.")] = 1_000_000,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Run the jobs with their default settings; what a size leaves is deleted before the next one."""
    jobs, results = job or list(JOBS), dict[int, Jobs]()
    for size in ratings or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            results[size] = measure(Path(folder), size, requests, jobs)
    show(results, jobs)
    write_figures(out, requests=requests, scale=results)


if __name__ == "__main__":
    typer.run(main)
