from __future__ import annotations

from dataclasses import replace
from math import log1p

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F
from taste_timeline import END, LAST, UNKNOWN, Study, cells, vectors

from movierate_spark.features.factors import RANK, RIDGE_USER
from movierate_spark.features.neighbours import DOUBT
from movierate_spark.features.pairs import DEVIATION_UNITS
from movierate_spark.features.task_history import RESIDUAL_UNITS

TASTE = ["user_neighbours", "user_factors"]


def looked_at(rows: pd.DataFrame, user: int, second: int) -> list[tuple[int, float, float]]:
    """Movie, residual (stars) and rating of the user's last ratings, of each movie the latest."""
    latest: dict[int, tuple[int, int, float, float]] = {}
    for row in rows.itertuples():
        if row.user_id == user and row.second < second and not np.isnan(row.rating):
            made = (row.second, row.movie_id, row.residual / RESIDUAL_UNITS, row.rating)
            latest[row.movie_id] = max(latest.get(row.movie_id, made), made)
    return [rated for _, *rated in sorted(latest.values())[-LAST:]]


def plain(learnt: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """The taste columns, row by row, and the three ratings that add most to the first: see ``named``."""
    tables, records = learnt.tables, []
    weights = [cells(tables, number) for number in range(1, len(tables.begins) + 1)]
    for row in rows.itertuples():
        block = sum(begin <= row.second for begin in tables.begins)
        seen = looked_at(rows, row.user_id, row.second)
        if not block or not seen:
            records.append((0.0, 0.0, []))
            continue
        movies, residuals, ratings = zip(*seen, strict=True)
        weight = np.array([weights[block - 1].get((row.movie_id, movie), 0.0) for movie in movies])
        above = np.array(residuals) - row.user_residual
        known = vectors(tables, block, list(movies))
        units = np.rint(np.array(residuals) * DEVIATION_UNITS) / DEVIATION_UNITS
        user = np.linalg.solve(
            known.T @ known + RIDGE_USER * np.eye(RANK), known.T @ (units - row.user_residual)
        )
        (movie,) = vectors(tables, block, [row.movie_id])
        shares = log1p(row.user_count) * weight * above / (weight.sum() + DOUBT)
        largest = sorted(zip(movies, ratings, shares, strict=True), key=lambda each: -abs(each[2]))
        records.append((shares.sum(), user @ movie, [each for each in largest if each[2]][:3]))
    return pd.DataFrame(records, columns=[*TASTE, "named"])


def test_columns_are_those_of_their_definition(learnt: Study) -> None:
    rows = learnt.columns
    expected = plain(learnt, rows)
    for name, tolerance in (("user_neighbours", 1e-12), ("user_factors", 1e-7)):
        assert rows[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=tolerance)
        assert (rows[name] != 0).sum() > 200


def test_the_ratings_that_add_most_are_told_with_their_share(learnt: Study) -> None:
    rows = learnt.with_tables(learnt.tables, shares=3)
    assert rows[TASTE].equals(learnt.columns[TASTE])
    ratings = [[tuple(each.values()) for each in map(dict, row)] for row in rows["similar_ratings"]]
    expected = plain(learnt, rows)["named"].tolist()
    for mine, theirs in zip(ratings, expected, strict=True):
        assert [each[:2] for each in mine] == [each[:2] for each in theirs]
        assert [each[2] for each in mine] == pytest.approx([each[2] for each in theirs], abs=1e-12)
    assert {len(row) for row in ratings} == {0, 1, 2, 3}


def test_requests_of_new_users_only_name_no_ratings(learnt: Study) -> None:
    ratings = F.col("rating").isNotNull()
    of_nobody = replace(learnt, by_user=learnt.by_user.where(~ratings))
    rows = of_nobody.with_tables(learnt.tables, shares=3)
    assert len(rows) > 20
    assert not rows[TASTE].to_numpy().any()
    assert {len(named) for named in rows["similar_ratings"]} == {0}


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
    requests = rows[(rows["second"] >= END) & rows["rating"].isna()]
    older = learnt.with_tables(learnt.tables.until(END - 1)).loc[requests.index]
    known = (requests["movie_id"] != UNKNOWN) & (requests["user_count"] > 0)
    assert known.sum() > 5
    for name in TASTE:
        assert (requests.loc[known, name] != older.loc[known, name]).sum() > 3
