"""README's table of results, from a copy of MovieLens: `make movielens DATA=ml-1m`.

The protocol is that of ReLLa (Lin et al., WWW 2024, MovieLens 1M): ratings in order of time, without those
before which the user has fewer than five others. The first 80% are for training, the last 10% for the test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from deltalake import DeltaTable

COMMAND = "import sys; from movierate_spark.cli import main; main(sys.argv[1:])"
EARLIER = 5
TRAINED, TESTED = 0.8, 0.9
"""The shares of the ratings after which training ends, and after which the test begins."""
NAMES = {"auc": "AUC", "log_loss": "log loss", "accuracy": "accuracy"}
PUBLISHED = {
    "DeepFM": (0.7915, 0.5484, 0.7225),
    "AutoInt": (0.7929, 0.5453, 0.7226),
    "DCNv2": (0.7931, 0.5464, 0.7216),
    "DIN": (0.7962, 0.5425, 0.7252),
    "SIM": (0.7992, 0.5387, 0.7268),
    "ReLLa (a language model of 13 billion parameters)": (0.8033, 0.5362, 0.7280),
}
"""From table 2 of the paper, on the last tenth of MovieLens 1M."""


def movierate(*arguments: object) -> None:
    done = subprocess.run([sys.executable, "-c", COMMAND, *map(str, arguments)], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def borders(lake: Path) -> tuple[int, int]:
    """The epoch seconds at which training ends and the test begins."""
    ratings = DeltaTable(lake / "ratings").to_pyarrow_table(columns=["user_id", "rated_at"])
    user = ratings["user_id"].to_numpy()
    second = ratings["rated_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    order = np.lexsort((second, user))
    begin = np.searchsorted(user[order], user[order])
    counted = np.sort(second[order][np.arange(len(order)) - begin >= EARLIER])
    if not len(counted):
        raise SystemExit(f"movielens: no user in {lake} has more than {EARLIER} ratings")
    trained, tested = (int(counted[int(share * len(counted))]) for share in (TRAINED, TESTED))
    return trained, tested


def figures(values: tuple[float, ...], ranges: list[list[float]] | None = None, form: str = ".4f") -> str:
    cells = [format(value, form) for value in values]
    if ranges:
        cells = [
            f"{cell} ({low:{form}} to {high:{form}})" for cell, (low, high) in zip(cells, ranges, strict=True)
        ]
    return " | ".join(cells)


def table(metrics: dict[str, Any]) -> str:
    """The results as Markdown: the model and the published ones, and what each family of columns is worth."""
    titles = " | ".join(NAMES.values())
    of_model = {"**model**": metrics, **{k.replace("_", " "): v for k, v in metrics["baselines"].items()}}
    lines = [f"| model | {titles} |", "| --- | --- | --- | --- |"]
    for name, each in of_model.items():
        ranges = [each["intervals"][metric] for metric in NAMES] if each.get("intervals") else None
        lines.append(f"| {name} | {figures(tuple(each[metric] for metric in NAMES), ranges)} |")
    lines += [f"| {name} | {figures(values)} |" for name, values in PUBLISHED.items()]
    lines += ["", f"| without | {titles} | seconds |", "| --- | --- | --- | --- | --- |"]
    for each in metrics["ablation"][1:]:
        lost = tuple(-each["difference"][metric] for metric in NAMES)
        ranges = [[-high, -low] for low, high in (each["difference_intervals"][metric] for metric in NAMES)]
        lines.append(f"| {each['without']} | {figures(lost, ranges, '+.4f')} | {each['seconds']:.0f} |")
    return "\n".join(lines)


def main(
    data: Annotated[Path, typer.Option(help="A folder of MovieLens, as it was unpacked.")],
    out: Annotated[Path, typer.Option(help="Where the lake, the model and the report are left.")] = Path(
        "movielens"
    ),
    until: Annotated[int | None, typer.Option(help="The second at which training ends.")] = None,
    since: Annotated[int | None, typer.Option(help="The second at which the test begins.")] = None,
    end: Annotated[int | None, typer.Option(help="The second at which the test ends.")] = None,
) -> None:
    """Prepare, train, evaluate, and print the results beside the published ones."""
    lake, model, evaluation = (out / name for name in ("lake", "model", "evaluation"))
    movierate("prepare", "--input", data, "--lake", lake)
    trained, tested = borders(lake)
    trained, tested = until or trained, since or tested
    movierate("train", "--lake", lake, "--model", model, "--until", trained)
    window = [
        "--since",
        tested,
        "--min-user-history",
        EARLIER,
        *(("--until", end) if end else ()),
        "--ablate",
    ]
    movierate("evaluate", "--lake", lake, "--model", model, *window, "--out", evaluation)
    metrics = json.loads((evaluation / "metrics.json").read_text())
    end, begin = (datetime.fromtimestamp(second, UTC) for second in (trained, tested))
    sys.stdout.write(
        f"\nTrained before {end:%Y-%m-%d %H:%M:%S}, tested from {begin:%Y-%m-%d %H:%M:%S} on.\n\n"
    )
    sys.stdout.write(f"{table(metrics)}\n")


if __name__ == "__main__":
    typer.run(main)
