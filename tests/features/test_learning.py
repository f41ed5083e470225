"""The taste columns in Spark: what is learnt for a block comes from the blocks before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import FeatureSettings, load_settings
from movierate_spark.features.events import events
from movierate_spark.features.history import (
    RESIDUAL_UNITS,
    layouts,
    with_levels,
    with_movie_history,
    with_priors,
    with_user_history,
)
from movierate_spark.features.learning import learn
from movierate_spark.features.taste import TASTE_COLUMNS
from movierate_spark.features.taste_tables import TasteTables, read_tables, write_tables

END = 4_000
Row = tuple[int, int, int, float]


def log(*, seed: int = 3) -> list[Row]:
    """Ratings of 10 users and 12 movies: user_id, movie_id, second, stars; a few are re-ratings."""
    random = np.random.default_rng(seed)
    return [
        (int(user), int(movie), int(second), float(stars))
        for user, movie, second, stars in zip(
            random.integers(1, 11, 240),
            random.integers(1, 13, 240),
            np.sort(random.integers(0, END // 10, 240)) * 10,
            random.integers(1, 6, 240),
            strict=True,
        )
    ]


def options(**changes: object) -> FeatureSettings:
    few = {"collaborative": True, "history_max": 8, "neighbours_max": 5, "time_block_first": 40}
    return load_settings().features.model_copy(update={**few, **changes})


@dataclass(frozen=True)
class Learnt:
    tables: TasteTables
    rows: DataFrame

    def columns(self, *, before: int) -> list[tuple[object, ...]]:
        wanted = ["user_id", "movie_id", "second", *TASTE_COLUMNS]
        rows = self.rows.withColumn("second", F.unix_seconds("at")).where(F.col("second") < before)
        return [tuple(row) for row in rows.select(*wanted).sort("second", "user_id", "movie_id").collect()]


def learnt(spark: SparkSession, rows: list[Row], *, forced: int = END, **changes: object) -> Learnt:
    chosen = options(**changes)
    frame = spark.createDataFrame(rows, "user_id long, movie_id long, second long, rating double")
    latest = frame.groupBy("user_id", "movie_id", "second").agg(F.max("rating").alias("rating"))
    ratings = latest.withColumn("rated_at", F.timestamp_seconds("second")).drop("second")
    unknown = {name: F.lit(None).cast("string") for name in ("gender", "age_group", "occupation")}
    more = {"year": F.lit(None).cast("int"), "genres": F.array().cast("array<string>")}
    timeline = events(ratings, has_re_ratings=True).withColumns({**unknown, **more})
    laid = layouts(timeline, chosen)
    by_user = with_movie_history(
        with_priors(timeline, min_rating=4.0), laid, chosen, min_rating=4.0
    ).persist()
    levels = with_levels(by_user, chosen)
    before = levels.where(F.unix_seconds("at") < forced)
    tables = learn(before, chosen, residual_units=RESIDUAL_UNITS, forced=[forced])
    return Learnt(tables, with_user_history(by_user, chosen, tables=tables))


@pytest.fixture(scope="module")
def whole(spark: SparkSession) -> Learnt:
    return learnt(spark, log())


def same_tables(one: TasteTables, other: TasteTables, *, blocks: int) -> None:
    """Movies that only one of the two knows are left out."""
    assert one.begins[:blocks].tolist() == other.begins[:blocks].tolist()
    for number in range(1, blocks + 1):
        assert weights(one, number) == weights(other, number)
        for movie, vector in vectors(other, number).items():
            assert vector == pytest.approx(vectors(one, number)[movie], abs=1e-9)


def weights(tables: TasteTables, number: int) -> set[tuple[int, int, float]]:
    table = tables.of_block(number).neighbours
    row, column = np.nonzero(table.weight[:-1])
    movie, other = tables.movie_id[row], tables.movie_id[table.neighbour[row, column]]
    return set(zip(movie.tolist(), other.tolist(), table.weight[row, column].tolist(), strict=True))


def vectors(tables: TasteTables, number: int) -> dict[int, list[float]]:
    known = tables.of_block(number).vectors[:-1]
    return dict(zip(tables.movie_id.tolist(), known.tolist(), strict=True))


def same_columns(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> None:
    assert [row[:4] for row in one] == [row[:4] for row in other]
    assert [row[4] for row in one] == pytest.approx([row[4] for row in other], abs=1e-9)


def test_blocks_double_and_the_last_border_is_where_training_ends(whole: Learnt) -> None:
    assert whole.tables.begins[-1] == END
    assert len(whole.tables.begins) == 4  # after 40, 80 and 160 ratings, and the end
    of_first_block = whole.columns(before=int(whole.tables.begins[0]))
    assert {row[3:] for row in of_first_block} == {(0.0, 0.0)}
    later = [row for row in whole.columns(before=END) if row[2] >= whole.tables.begins[1]]
    assert sum(row[3] != 0 for row in later) > len(later) / 2
    assert sum(row[4] != 0 for row in later) > len(later) / 2


@pytest.mark.parametrize("change", ["removed", "relabelled", "shuffled"])
def test_nothing_before_a_cut_changes_with_the_ratings_from_the_cut_on(
    spark: SparkSession, whole: Learnt, change: str
) -> None:
    cut = int(whole.tables.begins[2])
    past, future = ([row for row in log() if (row[2] >= cut) == later] for later in (False, True))
    if change == "removed":
        changed = past
    elif change == "relabelled":
        changed = past + [(u, m, s, 6.0 - stars) for u, m, s, stars in future]
    else:
        users = np.random.default_rng(1).permutation([row[0] for row in future]).tolist()
        changed = past + [(u, *row[1:]) for u, row in zip(users, future, strict=True)]
    other = learnt(spark, changed, forced=cut if change == "removed" else END)
    same_tables(whole.tables, other.tables, blocks=3)
    same_columns(whole.columns(before=cut), other.columns(before=cut))


def test_a_table_learnt_from_its_own_block_would_be_noticed(spark: SparkSession, whole: Learnt) -> None:
    cut = int(whole.tables.begins[2])
    relabelled = [(u, m, s, 6.0 - stars if s >= cut else stars) for u, m, s, stars in log()]
    other = learnt(spark, relabelled)
    assert weights(whole.tables, 4) != weights(
        other.tables, 4
    )  # learnt from the block that begins at the cut


def test_heavy_users_and_many_tasks_change_nothing(spark: SparkSession, whole: Learnt) -> None:
    cut_up = learnt(spark, log(), task_max_rows=12)
    same_tables(whole.tables, cut_up.tables, blocks=4)
    same_columns(whole.columns(before=END), cut_up.columns(before=END))


def test_tables_are_read_as_they_were_written(spark: SparkSession, whole: Learnt, tmp_path: Path) -> None:
    folder = tmp_path / "taste"
    write_tables(whole.tables, folder)
    again = read_tables(spark, folder, kept=5)
    same_tables(whole.tables, again, blocks=4)
    assert again.index(np.array([whole.tables.movie_id[0], 999])).tolist() == [0, len(again.movie_id)]
