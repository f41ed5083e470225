"""Every number of the exploration against pandas, from the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal
from pyspark.sql import DataFrame, SparkSession
from scipy import stats

from movierate_spark import schemas
from movierate_spark.columns import AGE_GROUPS, DEMOGRAPHICS
from movierate_spark.exploration import Exploration, explore, rates
from movierate_spark.exploration.movies import largest_unlisted
from movierate_spark.exploration.tables import _about_enough_people, _without_revealing
from movierate_spark.features.earlier import Floats, Ints

SEED = 8
TOLD_BY_THE_TOTAL = -1  # stands for a number of people that is not shown
THRESHOLD = 4.0
RULES = {"min_rating": THRESHOLD, "min_cell": 11, "min_support": 15, "shrinkage": 8.0}
GENRES = ("Action", "Comedy", "Drama", "Sci-Fi", "War")


def lake(ratings: int, *, users: int = 150, movies: int = 80) -> dict[str, pd.DataFrame]:
    """Random tables: half stars, unknown attributes, a film without genres, ids in no table."""
    random = np.random.default_rng(SEED)
    user_id, movie_id = random.integers(1, users + 3, ratings), random.integers(1, movies + 3, ratings)
    stars = np.clip(np.round(random.normal(3.6 + 0.4 * (user_id % 2), 1, ratings) * 2) / 2, 0.5, 5)
    stars = np.where((user_id % 3 == 0) & (movie_id % 4 == 3), np.minimum(stars + 1.5, 5), stars)
    second = random.integers(956_700_000, 972_000_000, ratings)
    rated = pd.DataFrame({"user_id": user_id, "movie_id": movie_id, "rating": stars})
    rated["rated_at"] = pd.to_datetime(second, unit="s", utc=True)
    one_of = random.choice
    people = pd.DataFrame({"user_id": np.arange(1, users + 1)})
    people["gender"] = ["F" if i % 3 == 0 else None if i % 20 == 1 else "M" for i in people["user_id"]]
    people["age_group"] = one_of(np.array([*AGE_GROUPS, None], dtype=object), users)
    people["occupation"] = one_of(
        np.array(["artist", "farmer", "lawyer"], dtype=object), users, p=[0.6, 0.05, 0.35]
    )
    people["zip3"] = None
    films = pd.DataFrame({"movie_id": np.arange(1, movies + 1)})
    films["title"] = [f"Film {i}" for i in films["movie_id"]]
    films["year"] = one_of(np.array([1950, 1987, 1999, None], dtype=object), movies)
    films["genres"] = [list(one_of(GENRES, i % 4, replace=False)) for i in films["movie_id"]]
    return {"ratings": rated.drop_duplicates(["user_id", "movie_id"]), "users": people, "movies": films}


def in_spark(spark: SparkSession, name: str, table: pd.DataFrame) -> DataFrame:
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    fields = [(field.name, field.dataType.simpleString()) for field in schemas.LAKE[name]]
    frame = spark.createDataFrame(arrow)
    return frame.selectExpr(*(f"cast({column} as {kind}) as {column}" for column, kind in fields))


def explored(spark: SparkSession, tables: dict[str, pd.DataFrame]) -> Exploration:
    frames = {name: in_spark(spark, name, table) for name, table in tables.items()}
    return explore(frames["ratings"], frames["users"], frames["movies"], **RULES)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return lake(4_000)


@pytest.fixture(scope="module")
def exploration(spark: SparkSession, tables: dict[str, pd.DataFrame]) -> Exploration:
    return explored(spark, tables)


@pytest.fixture(scope="module")
def joined(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    rows = tables["ratings"].merge(tables["users"], how="left").merge(tables["movies"], how="left")
    rows["liked"] = (rows["rating"] >= THRESHOLD).astype(int)
    for name in ("gender", "age_group", "occupation"):
        rows[name] = rows[name].fillna("unknown").astype(str)
    return rows


def people_or_told(people: float, total: int) -> float:
    return TOLD_BY_THE_TOTAL if 0 < total - people < RULES["min_cell"] else people


def counts(rows: pd.DataFrame) -> list[float]:
    return [rows["user_id"].nunique(), len(rows), rows["liked"].sum(), rows["liked"].mean()]


def by_genre(joined: pd.DataFrame) -> pd.DataFrame:
    genres = [
        value if isinstance(value, (list, np.ndarray)) and len(value) else ["unknown"]
        for value in joined["genres"]
    ]
    return joined.assign(genre=genres).explode("genre")


def test_totals(exploration: Exploration, joined: pd.DataFrame) -> None:
    per_user, per_movie = joined.groupby("user_id").size(), joined.groupby("movie_id").size()
    most_first = per_movie.sort_values(ascending=False).cumsum()
    assert exploration.totals == {
        "people": per_user.size,
        "ratings": len(joined),
        "liked": joined["liked"].sum(),
        "movies": per_movie.size,
        "median_per_user": np.quantile(per_user, 0.5, method="inverted_cdf"),
        "median_per_movie": np.quantile(per_movie, 0.5, method="inverted_cdf"),
        "movies_with_half": (most_first < len(joined) / 2).sum() + 1,
    }


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("stars", lambda rows: rows["rating"].astype(str)),
        ("month", lambda rows: rows["rated_at"].dt.strftime("%Y-%m")),
        ("weekday", lambda rows: (rows["rated_at"].dt.weekday + 1).astype(str)),
        ("hour", lambda rows: rows["rated_at"].dt.strftime("%H")),
    ],
)
def test_counts_and_like_rates_by_stars_and_time(
    exploration: Exploration, joined: pd.DataFrame, figure: str, value: object
) -> None:
    groups = joined.groupby(value(joined))  # type: ignore[operator]
    expected = {name: counts(rows) for name, rows in groups}
    table = exploration.tables[figure]
    columns = table[["people", "ratings", "liked", "like_rate"]].fillna({"people": TOLD_BY_THE_TOTAL})
    small = {name for name, (people, *_) in expected.items() if people < RULES["min_cell"]}
    beside = sorted(expected.keys() - small, key=lambda name: expected[name][0])[: len(small) > 0]
    total = joined["user_id"].nunique()
    left = {
        name: [people_or_told(people, total), *cell]
        for name, (people, *cell) in expected.items()
        if name not in small | set(beside)
    }
    assert dict(zip(table[figure], columns.to_numpy().tolist(), strict=True)) == left
    assert list(table[figure]) == sorted(left)


def expected_of(own: Floats, share: Floats) -> tuple[float, float]:
    """Of people with these shares of a part and of all: what their squared residuals in the difference of the
    two rates add up to, as a multiple of its variance, if all like rates have the same one; effective people.
    """
    residuals = np.diag(own) - np.outer(own, own) - np.diag(share) + np.outer(share, share)
    squares = (own - share) ** 2
    return (residuals**2).sum() / squares.sum(), squares.sum() ** 2 / (squares**2).sum()


def half_width(rows: pd.DataFrame, rate: float) -> float:
    """Half of a like rate's interval, person by person."""
    people = rows.groupby("user_id")["liked"].agg(["sum", "size"])
    shares = (people["size"] / len(rows)).to_numpy()
    expected, effective = expected_of(shares, np.zeros(len(people)))
    variance = ((people["sum"] - rate * people["size"]) ** 2).sum() / len(rows) ** 2 / expected
    return float(stats.t.isf(0.025, effective - 1) * np.sqrt(variance))


def test_like_rate_by_genre_with_intervals_by_person(exploration: Exploration, joined: pd.DataFrame) -> None:
    table = exploration.tables["genre"].set_index("genre")
    groups = dict(list(by_genre(joined).groupby("genre")))
    total = joined["user_id"].nunique()
    table["people"] = table["people"].fillna(TOLD_BY_THE_TOTAL)
    assert set(table.index) == set(groups) == {*GENRES, "unknown"}
    for genre, rows in groups.items():
        rate = rows["liked"].mean()
        half = half_width(rows, rate)
        people, *others = counts(rows)
        expected = [people_or_told(people, total), *others]
        assert table.loc[genre, ["people", "ratings", "liked", "like_rate"]].tolist() == expected
        assert table.loc[genre, ["low", "high"]].tolist() == pytest.approx(
            [max(rate - half, 0), min(rate + half, 1)], rel=1e-9
        )
    assert table["like_rate"].is_monotonic_decreasing


@pytest.mark.parametrize("attribute", ["gender", "age_group", "occupation"])
def test_each_group_against_the_genre(exploration: Exploration, joined: pd.DataFrame, attribute: str) -> None:
    rows = by_genre(joined)
    table = exploration.tables[f"genre_{attribute}"].set_index(["genre", "group"])
    cells = dict(list(rows.groupby(["genre", attribute])))
    hidden = {cell for cell, part in cells.items() if part["user_id"].nunique() < RULES["min_cell"]}
    assert not hidden & set(table.index)
    for (genre, group), cell in table.iterrows():
        part, whole = cells[genre, group], rows[rows["genre"] == genre]
        rate, genre_rate = part["liked"].mean(), whole["liked"].mean()
        assert cell[["people", "ratings", "liked", "like_rate"]].tolist() == counts(part)
        assert cell["difference"] == rate - genre_rate
        assert cell["group_difference"] == pytest.approx(
            joined.loc[joined[attribute] == group, "liked"].mean() - joined["liked"].mean(), abs=1e-15
        )
        influence = part.groupby("user_id")["liked"].apply(lambda x, r=rate: (x - r).sum()) / len(part)
        of_genre = whole.groupby("user_id")["liked"].apply(lambda x, r=genre_rate: (x - r).sum()) / len(whole)
        share = whole.groupby("user_id").size() / len(whole)
        own = (part.groupby("user_id").size() / len(part)).reindex(share.index).fillna(0)
        expected, effective = expected_of(own.to_numpy(), share.to_numpy())
        residuals = influence.reindex(of_genre.index).fillna(0) - of_genre
        error = np.sqrt(residuals.pow(2).sum() / expected)
        p_value = 2 * stats.t.sf(abs(rate - genre_rate) / error, effective - 1)
        assert cell["p_value"] == pytest.approx(p_value, rel=1e-9)


def test_a_hidden_cell_cannot_be_derived_from_its_genre(
    exploration: Exploration, joined: pd.DataFrame
) -> None:
    rows = by_genre(joined)
    for attribute in ("gender", "age_group", "occupation"):
        people = rows.groupby(["genre", attribute])["user_id"].nunique()
        shown = set(
            zip(*(exploration.tables[f"genre_{attribute}"][name] for name in ("genre", "group")), strict=True)
        )
        for genre in people.index.unique("genre"):
            hidden = [n for group, n in people[genre].items() if (genre, group) not in shown]
            assert not hidden or (len(hidden) > 1 and sum(hidden) >= RULES["min_cell"])
    farmers = rows[(rows["occupation"] == "farmer")]["user_id"].nunique()
    assert farmers < RULES["min_cell"]


def test_discovered_pairs_are_those_of_benjamini_and_hochberg(
    exploration: Exploration, joined: pd.DataFrame
) -> None:
    parts = [exploration.tables[f"genre_{name}"] for name in ("gender", "age_group", "occupation")]
    cells = pd.concat(parts, ignore_index=True).sort_values("p_value", ignore_index=True)
    m = len(cells)
    below = np.flatnonzero(cells["p_value"] <= 0.05 * np.arange(1, m + 1) / m)
    found_by_hand = below.max() + 1 if len(below) else 0
    assert 0 < found_by_hand < m
    assert (
        cells["discovered"].sum()
        == found_by_hand
        == min(len(exploration.tables["differences"]), found_by_hand)
    )
    first = cells[cells["discovered"]].iloc[0]
    half = (first["difference_high"] - first["difference_low"]) / 2
    whole = by_genre(joined)
    whole = whole[whole["genre"] == first["genre"]]
    share = whole.groupby("user_id").size() / len(whole)
    (attribute,) = (name for name in DEMOGRAPHICS if (joined[name] == first["group"]).any())
    own = whole[whole[attribute] == first["group"]].groupby("user_id").size()
    own = (own / own.sum()).reindex(share.index).fillna(0)
    _, effective = expected_of(own.to_numpy(), share.to_numpy())
    error = abs(first["difference"]) / stats.t.isf(first["p_value"] / 2, effective - 1)
    adjusted = stats.t.isf(0.05 * found_by_hand / m / 2, effective - 1)
    assert half == pytest.approx(adjusted * error, rel=1e-6)


def test_correlations_are_pearsons(exploration: Exploration, joined: pd.DataFrame) -> None:
    year = joined["year"].astype(float)
    values = {
        "user's age": joined["age_group"].map(AGE_GROUPS),
        "year of release": year,
        "film's age when rated (years)": joined["rated_at"].dt.year - year,
        "number of genres": joined["genres"].map(
            lambda x: len(x) or None if isinstance(x, (list, np.ndarray)) else None
        ),
        "hour of the day": joined["rated_at"].dt.hour,
        "day of the week": joined["rated_at"].dt.weekday,
        "day of the rating": joined["rated_at"].dt.floor("D").astype("int64") // 10**9,
    }
    table = exploration.tables["correlations"].set_index("number")
    assert list(table.index) == list(values)
    for name, value in values.items():
        assert table.loc[name, "correlation"] == pytest.approx(
            joined["liked"].corr(value.astype(float)), abs=1e-12
        )


def test_movies_by_count_by_shrunk_like_rate_and_by_spread(
    exploration: Exploration, joined: pd.DataFrame
) -> None:
    movies = joined.groupby("movie_id").agg(
        title=("title", "first"), ratings=("rating", "size"), liked=("liked", "sum"), mean=("rating", "mean"),
        deviation=("rating", "std"),
    )  # fmt: skip
    movies["title"] = movies["title"].fillna("movie " + movies.index.to_series().astype(str))
    average, added = joined["liked"].mean(), RULES["shrinkage"]
    movies["shrunk"] = (movies["liked"] + added * average) / (movies["ratings"] + added)
    supported = movies[movies["ratings"] >= RULES["min_support"]]
    few = supported[supported["ratings"] <= supported["ratings"].quantile(0.5, interpolation="lower")]
    for name, chosen, order in (
        ("most_rated", movies[movies["ratings"] >= RULES["min_cell"]], "ratings"),
        ("hidden_gems", few, "shrunk"),
        ("polarising", supported, "deviation"),
    ):
        expected = chosen.assign(rank=chosen[order].round(12)).sort_values(
            ["rank", "movie_id"], ascending=[False, True]
        )
        table = exploration.tables[name]
        assert list(table["title"]) == list(expected["title"].head(20))
        assert table["mean_stars"].tolist() == pytest.approx(expected["mean"].head(20).tolist(), rel=1e-12)
        assert table.iloc[:, -1].tolist() == pytest.approx(
            (expected[order] if name != "most_rated" else expected["liked"] / expected["ratings"])
            .head(20)
            .tolist(),
            rel=1e-12,
        )


def test_genres_that_go_together(exploration: Exploration, tables: dict[str, pd.DataFrame]) -> None:
    pairs = tables["movies"][["movie_id", "genres"]].explode("genres").dropna()
    both = pairs.merge(pairs, on="movie_id").groupby(["genres_x", "genres_y"]).size().reset_index()
    both.columns = ["genre", "other", "movies"]
    assert_frame_equal(exploration.tables["genres_together"], both, check_dtype=False)


def test_the_long_tail_has_everybody_in_it(exploration: Exploration, joined: pd.DataFrame) -> None:
    per_user = joined.groupby("user_id").size()
    for row in exploration.tables["ratings_per_user"].to_dict("records"):
        inside = per_user.between(row["first"], row["last"])
        assert row["people"] == inside.sum() >= RULES["min_cell"]
        assert row["ratings"] == per_user[inside].sum()
    assert exploration.tables["ratings_per_user"]["people"].sum() == len(per_user)
    assert exploration.tables["ratings_per_movie"]["movies"].sum() == joined["movie_id"].nunique()


def jobs_of(spark: SparkSession, tables: dict[str, pd.DataFrame]) -> int:
    context = spark.sparkContext
    context.setJobGroup(f"exploring {len(tables['ratings'])}", "counted")
    explored(spark, tables)
    context.setLocalProperty("spark.jobGroup.id", None)
    return len(context.statusTracker().getJobIdsForGroup(f"exploring {len(tables['ratings'])}"))


def test_more_rows_genres_and_groups_need_no_more_jobs(spark: SparkSession) -> None:
    few = lake(300)
    few["movies"]["genres"] = [["Drama"]] * len(few["movies"])
    few["users"]["occupation"] = "artist"
    many = jobs_of(spark, lake(3_000))
    assert 0 < many <= 24
    assert jobs_of(spark, few) == many


def test_a_like_rate_without_any_difference_between_people_has_no_interval() -> None:
    cells = pd.DataFrame(
        {
            "people": [30, 1], "ratings": [30, 4], "liked": [30, 2], "ratings_squared": [30, 16],
            "ratings_liked": [30, 8], "liked_squared": [30, 4], "ratings_cubed": [30.0, 64.0],
            "ratings_fourth": [30.0, 256.0],
        }
    )  # fmt: skip
    table = rates.with_like_rate(cells)
    assert table["like_rate"].tolist() == [1.0, 0.5]
    assert table[["low", "high"]].isna().all(axis=None)


def people_of_a_genre(ratings: Ints, likes: Ints) -> dict[str, float]:
    n = ratings.astype(float)
    return {
        "people": len(n), "ratings": ratings.sum(), "liked": likes.sum(),
        "ratings_squared": (ratings * ratings).sum(), "ratings_liked": (ratings * likes).sum(),
        "liked_squared": (likes * likes).sum(), "ratings_cubed": (n**3).sum(), "ratings_fourth": (n**4).sum(),
    }  # fmt: skip


def test_groups_that_do_not_differ_are_rarely_discovered_although_few_people_rate_most() -> None:
    draw = np.random.default_rng(7)
    discovered = []
    for _ in range(60):
        ratings = np.ceil(draw.lognormal(3, 1.3, 400)).astype(np.int64)
        likes = draw.binomial(ratings, draw.beta(6, 4, 400))
        group = draw.choice(12, 400, p=np.array([30, *[1] * 11]) / 41)
        sizes = np.bincount(group, minlength=12)
        parts = [people_of_a_genre(ratings[group == i], likes[group == i]) for i in np.flatnonzero(sizes > 1)]
        cells = pd.DataFrame(parts).assign(value="Drama", attribute="occupation")
        cells["group"] = [str(i) for i in np.flatnonzero(sizes > 1)]
        everybody = {"value": "Drama", "attribute": "all", "group": "all"} | people_of_a_genre(ratings, likes)
        everybody = pd.DataFrame([everybody])
        discovered.append(rates.against_genre(cells, everybody, everybody)["discovered"].any())
    assert np.mean(discovered) <= 0.1


def test_the_square_of_billions_of_ratings_is_no_overflow() -> None:
    draw = np.random.default_rng(3)
    ratings = draw.integers(1, 50, 200)
    likes = draw.binomial(ratings, 0.6)
    errors = []
    for times in (1, 1_000_000):
        part, all_of_them = (people_of_a_genre(times * ratings[:n], times * likes[:n]) for n in (50, 200))
        cells = pd.DataFrame([{"value": "War", "attribute": "gender", "group": "F"} | part])
        everybody = pd.DataFrame([{"value": "War", "attribute": "all", "group": "all"} | all_of_them])
        errors.append(rates.against_genre(cells, everybody, everybody)["standard_error"].item())
    assert everybody["ratings"].item() > 3.1e9
    assert errors[1] == pytest.approx(errors[0], rel=1e-9)


def listed(*movies: tuple[int, int, list[str]]) -> pd.DataFrame:
    return pd.DataFrame(movies, columns=["movie_id", "ratings", "genres"])


def test_a_genre_whose_total_would_tell_of_few_people_beside_the_listed_movies_is_hidden() -> None:
    lists = listed((1, 50, ["Drama", "War"]), (2, 40, ["Drama"]))
    kept, revealing = _without_revealing(lists, {"all": 30, "Drama": 30, "War": 3}, min_cell=11)
    assert (kept["movie_id"].tolist(), revealing) == ([1, 2], {"War"})


def test_where_the_total_of_all_would_tell_of_few_people_the_least_rated_movie_is_not_listed() -> None:
    lists = listed((1, 50, ["Drama"]), (2, 12, ["War"]), (2, 12, ["War"]))
    kept, revealing = _without_revealing(lists, {"all": 4, "War": 4, "Drama": 2}, min_cell=11)
    assert (kept["movie_id"].tolist(), revealing) == ([1], {"Drama"})


def test_a_number_that_is_known_of_few_people_has_no_correlation() -> None:
    sums = pd.DataFrame({"number": ["age", "hour", "year"], "n": [40, 100, 90], "people": [2, 3, 15]})
    overall = {"people": 20, "ratings": 100, "liked": 50}
    assert _about_enough_people(sums, overall, min_cell=11)["number"].tolist() == ["hour", "year"]


def test_the_most_rated_movie_that_is_not_listed_by_genre(spark: SparkSession) -> None:
    totals = spark.createDataFrame([(1, 50), (2, 7), (3, 5), (4, 2)], "movie_id long, ratings long")
    movies = spark.createDataFrame(
        [(1, ["War"]), (2, ["War", "Drama"]), (3, ["Drama"])], "movie_id long, genres array<string>"
    )
    assert largest_unlisted(totals, movies, [1]) == {"all": 7, "War": 7, "Drama": 7, "unknown": 2}
