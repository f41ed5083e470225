from __future__ import annotations

from math import log1p

import numpy as np
import pandas as pd
import pytest
from taste_timeline import END, LAST, UNKNOWN, Study, cells, vectors

from movierate_spark.features.factors import RANK, RIDGE_USER
from movierate_spark.features.history import RESIDUAL_UNITS
from movierate_spark.features.neighbours import DOUBT
from movierate_spark.features.pairs import DEVIATION_UNITS

TASTE = ["user_neighbours", "user_factors"]


def looked_at(rows: pd.DataFrame, user: int, second: int) -> list[tuple[int, float]]:
    """Movie and residual (stars) of the user's last ratings, of each movie the latest."""
    latest: dict[int, tuple[int, int, float]] = {}
    for row in rows.itertuples():
        if row.user_id == user and row.second < second and not np.isnan(row.rating):
            made = (row.second, row.movie_id, row.residual / RESIDUAL_UNITS)
            latest[row.movie_id] = max(latest.get(row.movie_id, made), made)
    return [(movie, stars) for _, movie, stars in sorted(latest.values())[-LAST:]]


def plain(learnt: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """The taste columns, row by row."""
    tables, found = learnt.tables, []
    weights = [cells(tables, number) for number in range(1, len(tables.begins) + 1)]
    for row in rows.itertuples():
        block = sum(begin <= row.second for begin in tables.begins)
        seen = looked_at(rows, row.user_id, row.second)
        if not block or not seen:
            found.append((0.0, 0.0))
            continue
        weight = np.array([weights[block - 1].get((row.movie_id, movie), 0.0) for movie, _ in seen])
        above = np.array([stars - row.user_residual for _, stars in seen])
        known = vectors(tables, block, [movie for movie, _ in seen])
        units = np.array([np.rint(stars * DEVIATION_UNITS) / DEVIATION_UNITS for _, stars in seen])
        user = np.linalg.solve(
            known.T @ known + RIDGE_USER * np.eye(RANK), known.T @ (units - row.user_residual)
        )
        (movie,) = vectors(tables, block, [row.movie_id])
        neighbours = log1p(row.user_count) * (weight @ above) / (weight.sum() + DOUBT)
        found.append((neighbours, user @ movie))
    return pd.DataFrame(found, columns=TASTE)


def test_columns_are_those_of_their_definition(learnt: Study) -> None:
    rows = learnt.columns
    expected = plain(learnt, rows)
    for name, tolerance in (("user_neighbours", 1e-12), ("user_factors", 1e-7)):
        assert rows[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=tolerance)
        assert (rows[name] != 0).sum() > 200


def test_in_block_0_and_for_unknown_movies_and_users_nothing_is_known(learnt: Study) -> None:
    rows = learnt.columns
    for nothing in (
        rows["second"] < learnt.tables.begins[0],
        rows["movie_id"] == UNKNOWN,
        rows["user_count"] == 0,
    ):
        assert nothing.sum() > 3
        assert not rows.loc[nothing, TASTE].to_numpy().any()


def test_a_row_gets_the_tables_of_its_time(learnt: Study) -> None:
    rows, begins = learnt.columns, learnt.tables.begins
    for number in (0, 1, 4):  # blocks that are known
        so_far = learnt.tables.until(int(begins[number]) - 1)
        columns = learnt.with_tables(so_far)
        before = rows["second"] < begins[number]
        assert columns[before].equals(rows[before])
        assert (columns.loc[~before, TASTE] != rows.loc[~before, TASTE]).sum().min() > 20


def test_after_the_end_of_training_the_newest_tables_are_used(learnt: Study) -> None:
    rows = learnt.columns
    asked = rows[(rows["second"] >= END) & rows["rating"].isna()]
    older = learnt.with_tables(learnt.tables.until(END - 1)).loc[asked.index]
    known = (asked["movie_id"] != UNKNOWN) & (asked["user_count"] > 0)
    assert known.sum() > 5
    for name in TASTE:
        assert (asked.loc[known, name] != older.loc[known, name]).sum() > 3
