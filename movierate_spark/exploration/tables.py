"""The tables behind the exploration's figures, without cells about too few people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.disclosure import merged, people_or_none, shown
from movierate_spark.exploration import cells as by_user
from movierate_spark.exploration import movies as by_movie
from movierate_spark.exploration import rates
from movierate_spark.exploration.cells import ACTIVITY, ALL, GENRE, HOUR, MONTH, STARS, WEEKDAY
from movierate_spark.session import persisted

TOP = 20
MOST_RATED, GEMS, POLARISING = "most_rated", "hidden_gems", "polarising"
PEOPLE = ["people", "ratings", "liked", "like_rate", "low", "high"]
COMPARED = [
    "like_rate", "genre_like_rate", "difference", "difference_low", "difference_high", "group_difference",
    "p_value", "q_value", "discovered",
]  # fmt: skip


@dataclass(frozen=True)
class Exploration:
    """Totals by name, and a table per figure; no cell is about fewer than ``min_cell`` people."""

    totals: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]


def explore(
    ratings: DataFrame,
    users: DataFrame,
    movies: DataFrame,
    *,
    min_rating: float,
    min_cell: int,
    min_support: int,
    shrinkage: float,
) -> Exploration:
    """Compute all tables, in two passes over the ratings and one over the movies.

    There must be at least one rating, and at most one per (user, movie). Lists of movies by how they are
    liked have only movies with at least ``min_support`` ratings; ``shrinkage`` is the number of average
    ratings added to each movie's own.
    """
    films = movies.select("movie_id", "year", "genres")
    rows = ratings.join(films, "movie_id", "left")
    cells = by_user.cells(rows, users, min_rating=min_rating)
    aged = rows.join(users.select("user_id", "age_group"), "user_id", "left")
    # There is only a row per movie: with fewer partitions, later queries start fewer tasks.
    tasks = ratings.sparkSession.sparkContext.defaultParallelism
    with persisted(by_movie.movie_totals(aged, min_rating=min_rating).coalesce(tasks)) as totals:
        per_movie = by_movie.ratings_per_movie(totals)
        sums = by_movie.number_sums(totals)
        overall = _overall(cells)
        orders = _orders(per_movie, overall, min_cell=min_cell, min_support=min_support, shrinkage=shrinkage)
        leading = by_movie.leading_movies(totals, movies, orders, top=TOP)
        unlisted = by_movie.largest_unlisted(totals, movies, leading["movie_id"].unique().tolist())
    leading, revealing = _without_revealing(leading, unlisted, min_cell=min_cell)
    per_user = _activity(cells)
    tables = {
        **{
            name: _over_all(cells, name, min_rating=min_rating, min_cell=min_cell)
            for name in (STARS, MONTH, WEEKDAY, HOUR)
        },
        "ratings_per_user": merged(_in_bins(per_user, "people"), at_least={"people": min_cell}),
        "ratings_per_movie": merged(_in_bins(per_movie, "movies"), at_least={"ratings": min_cell}),
        **{name: _named(leading, name) for name in orders},
        **_by_genre(cells, revealing, min_cell=min_cell),
        "correlations": rates.correlations(_about_enough_people(sums, overall, min_cell=min_cell)),
        "genres_together": by_movie.genres_together(movies),
    }
    return Exploration({**overall, **_concentration(per_user, per_movie)}, tables)


def _about_enough_people(sums: pd.DataFrame, overall: Mapping[str, int], *, min_cell: int) -> pd.DataFrame:
    """The numbers that are known of at least ``min_cell`` people."""
    people = sums["people"].mask(sums["n"] == overall["ratings"], overall["people"])
    return sums[people >= min_cell].reset_index(drop=True)


def _overall(cells: pd.DataFrame) -> dict[str, int]:
    everybody = cells[(cells["figure"] == ALL) & (cells["attribute"] == ALL)]
    return {name: int(everybody[name].iloc[0]) for name in ("people", "ratings", "liked")}


def _over_all(cells: pd.DataFrame, figure: str, *, min_rating: float, min_cell: int) -> pd.DataFrame:
    """A figure's cells for everybody that may be shown, in order of their values.

    For stars, the number of likes is known too: the stars that are likes, and the others, have a total each.
    """
    rows = cells[(cells["figure"] == figure) & (cells["attribute"] == ALL)]
    by_value = pd.to_numeric if figure != MONTH else None
    rows = rows.sort_values("value", key=by_value, ignore_index=True)
    likes = pd.to_numeric(rows["value"]) >= min_rating if figure == STARS else False
    sets = rows.assign(likes=likes)
    may_be_shown = shown(sets, within=(), overlapping=(("likes",),), min_cell=min_cell)
    rated = _as_shown(rates.with_like_rate(rows[may_be_shown]), cells, min_cell=min_cell)
    return rated.rename(columns={"value": figure})[[figure, *PEOPLE]].reset_index(drop=True)


def _as_shown(rated: pd.DataFrame, cells: pd.DataFrame, *, min_cell: int) -> pd.DataFrame:
    """The rows without numbers of people that would reveal that few others remain."""
    total = _overall(cells)["people"]
    return rated.assign(people=people_or_none(rated["people"], total=total, min_cell=min_cell))


def _activity(cells: pd.DataFrame) -> pd.DataFrame:
    """The number of people by number of ratings: a row per number of ratings, ascending."""
    rows = cells[(cells["figure"] == ALL) & (cells["attribute"] == ACTIVITY)]
    counted = pd.DataFrame({"ratings": pd.to_numeric(rows["group"]), "people": rows["people"]})
    return counted.sort_values("ratings", ignore_index=True)


def _in_bins(counts: pd.DataFrame, what: str) -> pd.DataFrame:
    """Counts by bin of the number of ratings, three bins per doubling.

    Columns: ``first`` and ``last`` of the bin, ``what`` and its ``ratings``.
    """
    edges = np.unique(np.round(2 ** (np.arange(0, 120) / 3)).astype(np.int64))
    bin_ = np.searchsorted(edges, counts["ratings"], side="right")
    grouped = (
        pd.DataFrame({what: counts[what], "ratings": counts["ratings"] * counts[what]}).groupby(bin_).sum()
    )
    first, last = edges[grouped.index - 1], edges[grouped.index] - 1
    return pd.DataFrame(
        {"first": first, "last": last, what: grouped[what].array, "ratings": grouped["ratings"].array}
    )


def _orders(
    per_movie: pd.DataFrame, overall: Mapping[str, int], *, min_cell: int, min_support: int, shrinkage: float
) -> dict[str, Any]:
    """For each list of movies: the condition for its movies, and the value by which they are sorted."""
    support = max(min_support, min_cell)
    supported = per_movie[per_movie["ratings"] >= support]
    median = _median(supported["ratings"], supported["movies"])
    average = overall["liked"] / overall["ratings"]
    count, stars, squares = F.col("ratings"), F.col("tenths"), F.col("tenths_squared")
    shrunk = (F.col("liked") + F.lit(shrinkage * average)) / (count + F.lit(shrinkage))
    deviation = F.sqrt((count * squares - stars * stars) / (count * (count - 1))) / by_movie.TENTHS
    return {
        MOST_RATED: (count >= min_cell, count),
        GEMS: (count.between(F.lit(support), F.lit(median)), shrunk),
        POLARISING: (count >= support, deviation),
    }


def _named(leading: pd.DataFrame, name: str) -> pd.DataFrame:
    """A list's movies: title, ratings (one per person), mean stars, like rate, and the sorting value."""
    movies = leading[leading["list"] == name].reset_index(drop=True)
    value = {GEMS: "shrunk_like_rate", POLARISING: "standard_deviation"}.get(name)
    columns = {
        "title": movies["title"],
        "ratings": movies["ratings"],
        "mean_stars": movies["tenths"] / movies["ratings"] / by_movie.TENTHS,
        "like_rate": movies["liked"] / movies["ratings"],
    }
    return pd.DataFrame(columns | ({value: movies["value"]} if value else {}))


def _without_revealing(
    leading: pd.DataFrame, unlisted: Mapping[str, int], *, min_cell: int
) -> tuple[pd.DataFrame, set[str]]:
    """The lists of movies, and the genres whose totals minus those movies would be about too few people.

    ``unlisted`` has the ratings of the most rated movie in no list, by genre and for :data:`ALL`. If the
    total of all ratings would tell too much, the least rated movie is taken out of the lists.
    """
    largest = dict(unlisted)
    if len(leading) and 0 < largest.get(ALL, 0) < min_cell:
        least = leading.sort_values(["ratings", "movie_id"]).iloc[0]
        leading = leading[leading["movie_id"] != least["movie_id"]]
        for genre in least["genres"]:
            largest[genre] = max(largest.get(genre, 0), int(least["ratings"]))
    listed = {genre for genres in leading["genres"] for genre in genres}
    return leading, {genre for genre in listed if 0 < largest.get(genre, 0) < min_cell}


def _by_genre(cells: pd.DataFrame, revealing: set[str], *, min_cell: int) -> dict[str, pd.DataFrame]:
    """The tables ``genre``, ``genre_<attribute>`` and ``differences``: like rates by genre and group.

    Genres that are ``revealing`` are hidden.
    """
    by_genre = cells[cells["figure"] == GENRE]
    everybody = by_genre[by_genre["attribute"] == ALL]
    too_much = everybody["value"].isin(revealing)
    genres = everybody[shown(everybody, within=(), overlapping=((),), min_cell=min_cell, hidden=too_much)]
    groups = cells[(cells["figure"] == ALL) & cells["attribute"].isin([ALL, *DEMOGRAPHICS])]
    parts = by_genre[by_genre["attribute"].isin(DEMOGRAPHICS) & by_genre["value"].isin(genres["value"])]
    of_genre, of_group = ("value", "attribute"), ("attribute", "group")
    parts = parts[shown(parts, within=(of_genre,), overlapping=(of_group,), min_cell=min_cell)]
    compared = rates.against_genre(parts, genres, _shown_groups(groups, min_cell=min_cell))
    compared = compared.rename(columns={"value": "genre"})
    columns = ["genre", "group", "people", "ratings", "liked", *COMPARED]
    rated = _as_shown(rates.with_like_rate(genres), cells, min_cell=min_cell)
    rated = rated.rename(columns={"value": "genre"})
    # Its groups would add up to a number of people that is not shown.
    not_shown = compared["genre"].isin(rated.loc[rated["people"].isna(), "genre"])
    compared["people"] = compared["people"].astype("Int64").mask(not_shown)
    pairs = compared[compared["discovered"]]
    # Sort by the interval's end nearer to 0: the surest first, not the small groups with large differences.
    nearest = pairs[["difference_low", "difference_high"]].abs().min(axis=1)
    pairs = pairs.assign(nearest=nearest).sort_values(
        ["nearest", "genre", "attribute", "group"], ascending=[False, True, True, True], ignore_index=True
    )
    return {
        "genre": rated.sort_values(["like_rate", "genre"], ascending=[False, True], ignore_index=True)[
            ["genre", *PEOPLE]
        ],
        **{
            f"genre_{name}": compared[compared["attribute"] == name][columns].reset_index(drop=True)
            for name in DEMOGRAPHICS
        },
        "differences": pairs[["attribute", *columns]],
    }


def _shown_groups(groups: pd.DataFrame, *, min_cell: int) -> pd.DataFrame:
    """The groups that may be shown, for all genres, and the row for everybody."""
    may_be_shown = shown(groups, within=(("attribute",),), min_cell=min_cell)
    return groups[may_be_shown | (groups["attribute"] == ALL)]


def _median(values: pd.Series, weights: pd.Series) -> int:
    """The lower weighted median; 0 if there are no values."""
    if values.empty:
        return 0
    half = weights.cumsum().searchsorted(weights.sum() / 2)
    return int(values.iloc[int(half)])


def _concentration(per_user: pd.DataFrame, per_movie: pd.DataFrame) -> dict[str, Any]:
    """Medians, and the smallest number of movies that have half of all ratings."""
    return {
        "movies": int(per_movie["movies"].sum()),
        "median_per_user": _median(per_user["ratings"], per_user["people"]),
        "median_per_movie": _median(per_movie["ratings"], per_movie["movies"]),
        "movies_with_half": _with_half(per_movie),
    }


def _with_half(per_movie: pd.DataFrame) -> int:
    remaining, movies = (per_movie["ratings"] * per_movie["movies"]).sum() / 2, 0
    for ratings, count in per_movie.iloc[::-1].itertuples(index=False, name=None):
        needed = min(count, math.ceil(remaining / ratings))
        remaining, movies = remaining - needed * ratings, movies + needed
        if remaining <= 0:
            break
    return movies
