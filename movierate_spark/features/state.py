"""The history that a lake keeps, so that features of new requests need not read the whole log.

The *state* holds all events that count before the end of a closed day: each with its residual, which no later
rating changes, and what they add to the totals of movies and days. All sums are of whole numbers. So what is
computed from the state and later ratings is the same, bit for bit, as from the whole log.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.columns import DEMOGRAPHICS
from movierate_spark.config import FeatureSettings
from movierate_spark.errors import MovierateWarning
from movierate_spark.features.events import SUMS, added, counts_from, events
from movierate_spark.features.history import (
    DAILY_SUMS,
    EarlierHistory,
    daily_totals,
    movie_layout,
    with_movie_columns,
    with_priors,
)
from movierate_spark.session import persisted
from movierate_spark.storage.documents import StateSettings
from movierate_spark.storage.lake import Lake, State

PAIR = ("user_id", "movie_id")
TOTALS = {"movie_totals": (("movie_id", *DEMOGRAPHICS), SUMS), "daily_totals": (("day",), DAILY_SUMS)}
"""The keys of the tables whose rows add up, and the columns that do."""


def state_settings(settings: FeatureSettings, *, min_rating: float) -> StateSettings:
    """What the content of a state depends on, besides the ratings and the users."""
    return StateSettings(min_rating=min_rating, shrinkage_movie=settings.shrinkage_movie)


def state_for(
    lake: Lake, settings: FeatureSettings, requests: DataFrame | None, *, min_rating: float
) -> State | None:
    """The lake's state, if the requests' features can be made of it; it looks for their earliest time.

    None if there is none, for requests before its end, and, with a warning, if it was made with other
    settings than the model's.
    """
    state = lake.state
    if state is None or requests is None:
        return None
    required = state_settings(settings, min_rating=min_rating)
    if state.settings != required:
        warnings.warn(
            f"{lake.path}: its history is kept for {_described(state.settings)}, and the model"
            f" has {_described(required)}: all ratings are read instead. Add deliveries"
            " with the model's settings",
            MovierateWarning,
            stacklevel=2,
        )
        return None
    first = requests.agg(F.min(F.unix_seconds("at")).alias("first")).head()
    is_before = first is not None and first["first"] is not None and first["first"] < second_of(state.until)
    return None if is_before else state


def _described(settings: StateSettings) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.content().items())


def second_of(time: datetime) -> int:
    """The epoch second of a whole second."""
    return round(time.timestamp())


def events_since(ratings: DataFrame, state: State, *, has_re_ratings: bool) -> DataFrame:
    """The events that count from the state's end on, as :func:`movierate_spark.features.events.events`.

    Also ``known_residual``: that of a withdrawal of a rating in the state; else null.
    """
    unknown = F.lit(None).cast("long").alias("known_residual")
    new = ratings.where(F.col("rated_at") >= F.lit(state.until))
    if not has_re_ratings:
        return events(new, has_re_ratings=False).withColumn("known_residual", unknown)
    is_rating = F.col("withdrawn_at").isNull()
    last = F.max(F.struct("at", "rating", "residual")).alias("last")
    of_pairs = state.history.where(is_rating).join(new.select(*PAIR).distinct(), [*PAIR], "left_semi")
    replaced = of_pairs.groupBy(*PAIR).agg(last).select(*PAIR, "last.*")
    both = new.unionByName(replaced.select(*PAIR, "rating", F.col("at").alias("rated_at")))
    since = events(both, has_re_ratings=True).where(counts_since(state.until))
    known = replaced.select(*PAIR, "at", (-F.col("residual")).alias("known_residual"))
    return since.join(known, [*PAIR, "at"], "left")


def history_before(state: State, timeline: DataFrame, requests: DataFrame) -> EarlierHistory:
    """What the state knows of the timeline's movies and of the users of the requests."""
    users = requests.select("user_id").distinct()
    of_users = state.history.join(users, "user_id", "left_semi")
    return EarlierHistory(_movie_totals_of(state, timeline), users, of_users)


def _movie_totals_of(state: State, timeline: DataFrame) -> DataFrame:
    """The state's totals of the timeline's movies, a row per movie and group."""
    movies = timeline.select("movie_id").distinct()
    return summed("movie_totals", state.movie_totals.join(movies, "movie_id", "left_semi"))


def first_state(
    ratings: DataFrame,
    users: DataFrame,
    settings: FeatureSettings,
    *,
    min_rating: float,
    until: datetime,
    has_re_ratings: bool,
) -> dict[str, DataFrame]:
    """The state of all ratings before ``until``, by table."""
    timeline = events(ratings.where(F.col("rated_at") < F.lit(until)), has_re_ratings=has_re_ratings)
    with_movie = with_movie_columns(
        with_priors(timeline, min_rating=min_rating).join(users, "user_id", "left"),
        movie_layout(timeline, settings),
        settings,
        min_rating=min_rating,
    )
    return _tables(with_movie, timeline, users, min_rating=min_rating)


@contextmanager
def added_since(
    state: State,
    ratings: DataFrame,
    users: DataFrame,
    settings: FeatureSettings,
    *,
    until: datetime,
    has_re_ratings: bool,
) -> Iterator[dict[str, DataFrame]]:
    """The rows that bring a state forward to ``until``, by table; ``ratings`` are all that the lake has.

    The events since the state are read once, and cached during the block.
    """
    min_rating = state.settings.min_rating
    new = ratings.where(F.col("rated_at") < F.lit(until))
    with (
        persisted(events_since(new, state, has_re_ratings=has_re_ratings)) as timeline,
        persisted(_movie_totals_of(state, timeline)) as totals,
    ):
        dated = with_priors(timeline, min_rating=min_rating, totals=state.daily_totals)
        with_movie = with_movie_columns(
            dated.join(users, "user_id", "left"),
            movie_layout(timeline, settings, totals=totals),
            settings,
            min_rating=min_rating,
            totals=totals,
        )
        yield _tables(with_movie, timeline, users, min_rating=min_rating)


def _tables(
    with_movie: DataFrame, timeline: DataFrame, users: DataFrame, *, min_rating: float
) -> dict[str, DataFrame]:
    return {
        "history": with_movie.select(*schemas.HISTORY.names),
        "movie_totals": movie_totals_of(timeline, users, min_rating=min_rating),
        "daily_totals": daily_totals(timeline, min_rating=min_rating),
    }


def taken_back(state: State, users: DataFrame, *, since: datetime) -> dict[str, DataFrame]:
    """The rows that take back, from the state's totals, what its events from ``since`` on have added.

    ``users`` have the attributes with which they were added.
    """
    min_rating = state.settings.min_rating
    later = state.history.where(counts_since(since))
    return {
        "movie_totals": _negative(movie_totals_of(later, users, min_rating=min_rating), SUMS),
        "daily_totals": _negative(daily_totals(later, min_rating=min_rating), DAILY_SUMS),
    }


def moved(state: State, before: DataFrame, after: DataFrame) -> DataFrame:
    """The rows that move what users have added to the state's movie totals to their new groups.

    ``before`` and ``after`` are the users. Those whose groups are the same add no rows.
    """
    min_rating = state.settings.min_rating
    changed = after.select("user_id", *DEMOGRAPHICS).exceptAll(before.select("user_id", *DEMOGRAPHICS))
    of_changed = state.history.join(changed.select("user_id"), "user_id", "left_semi")
    taken = _negative(movie_totals_of(of_changed, before, min_rating=min_rating), SUMS)
    return taken.unionByName(movie_totals_of(of_changed, after, min_rating=min_rating))


def rewound(state: State, changes: Mapping[str, DataFrame], *, since: datetime) -> State:
    """The state as of an earlier midnight, with rows that change its totals."""
    totals = {
        name: getattr(state, name).unionByName(changes[name]) if name in changes else getattr(state, name)
        for name in ("movie_totals", "daily_totals")
    }
    return replace(state, until=since, history=state.history.where(~counts_since(since)), **totals)


def movie_totals_of(timeline: DataFrame, users: DataFrame, *, min_rating: float) -> DataFrame:
    """What events add to the totals of their movies, by group of the users."""
    attributed = timeline.join(users.select("user_id", *DEMOGRAPHICS), "user_id", "left")
    return summed("movie_totals", attributed.withColumns(added(min_rating)))


def summed(name: str, rows: DataFrame) -> DataFrame:
    """The rows of a table of totals added up, one per key."""
    keys, sums = TOTALS[name]
    return rows.groupBy(*keys).agg(*(F.sum(column).alias(column) for column in sums))


def counts_since(time: datetime) -> Column:
    """Whether an event counts for its user from a whole second on, or from later."""
    return counts_from() >= F.lit(second_of(time))


def _negative(totals: DataFrame, names: Sequence[str]) -> DataFrame:
    return totals.withColumns({name: -F.col(name) for name in names})
