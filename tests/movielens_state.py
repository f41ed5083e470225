"""The history that a lake keeps, on a copy of MovieLens: `make movielens-state DATA=ml-1m`.

Ratings are delivered as they came, some late. What requests get from the lake's state is compared with
what they get from its whole log, bit for bit: also where histories of heavy users and movies are split.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from pyspark.sql import DataFrame

import movierate_spark as mr
from movierate_spark.config import FeatureSettings, load_settings
from movierate_spark.features.rows import feature_rows
from movierate_spark.storage.lake import Lake

SEED = 5
FIRST, LATE, DELIVERIES = 0.7, 0.02, 3
"""The share of the ratings in the first delivery, that of those which come late, and how many follow."""
REQUESTS, DAYS = 20_000, 30
TASK_MAX_ROWS = (2_000, 2_000_000)
"""The smaller one splits the histories of the most active users and of the most rated movies."""


def deliveries(data: Path, below: Path) -> Iterator[Path]:
    """Folders with the ratings in order of time, but that some of a folder come with the next one."""
    draw = random.Random(SEED)
    lines = sorted((data / "ratings.dat").read_text().splitlines(), key=lambda line: int(line.split("::")[3]))
    first = round(FIRST * len(lines))
    size = -(-(len(lines) - first) // DELIVERIES)
    late: list[str] = []
    for number, (begin, end) in enumerate(
        [(0, first), *((begin, begin + size) for begin in range(first, len(lines), size))]
    ):
        folder, part = below / f"delivery {number}", lines[begin:end]
        folder.mkdir()
        kept_back = set(draw.sample(range(len(part)), round(LATE * len(part))) if end < len(lines) else ())
        now = [line for place, line in enumerate(part) if place not in kept_back]
        (folder / "ratings.dat").write_text("\n".join([*late, *now]) + "\n")
        late = [line for place, line in enumerate(part) if place in kept_back]
        for name in ("users.dat", "movies.dat") if number == 0 else ():
            shutil.copy(data / name, folder / name)
        yield folder


def requests_after(lake: Lake) -> DataFrame:
    """Random pairs, at random times from the end of the lake's state on."""
    assert lake.state is not None
    draw = random.Random(SEED)
    ids = {
        name: [row[0] for row in table.select(name).sort(name).collect()]
        for name, table in (("user_id", lake.users), ("movie_id", lake.movies))
    }
    rows = {
        (
            draw.choice(ids["user_id"]),
            draw.choice(ids["movie_id"]),
            lake.state.until + timedelta(seconds=draw.randrange(DAYS * 86_400)),
        )
        for _ in range(REQUESTS)
    }
    return lake.ratings.sparkSession.createDataFrame(
        sorted(rows), "user_id long, movie_id long, at timestamp"
    )


def differing(lake: Lake, requests: DataFrame, settings: FeatureSettings, *, min_rating: float) -> int:
    """How many rows with features differ between state and log."""
    kept, log = (
        feature_rows(each, settings, min_rating=min_rating, requests=requests)
        for each in (lake, replace(lake, state=None))
    )
    log = log.select(*kept.columns).persist()
    kept = kept.persist()
    return kept.exceptAll(log).count() + log.exceptAll(kept).count()


def main(data: Annotated[Path, typer.Option(help="The folder of MovieLens.")]) -> None:
    """Deliver, and compare; ends with status 1 where a row differs."""
    settings, spark = load_settings(), mr.local_session()
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "lake"
        for number, folder in enumerate(deliveries(data, Path(home))):
            lake = mr.prepare(spark, folder, path, add=number > 0)
            typer.echo(f"delivery {number}: state until {lake.state and lake.state.until}")
        requests = requests_after(lake).persist()
        different = 0
        for task_max_rows in TASK_MAX_ROWS:
            features = settings.features.model_copy(update={"task_max_rows": task_max_rows})
            some = differing(lake, requests, features, min_rating=settings.label.min_rating)
            typer.echo(f"tasks of {task_max_rows:,} rows: {some} of {requests.count():,} requests differ")
            different += some
    raise typer.Exit(int(different > 0))


if __name__ == "__main__":
    typer.run(main)
