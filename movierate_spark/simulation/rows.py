"""Simulated users, movies and ratings, of sizes close to those of MovieLens 1M."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from movierate_spark.errors import InputError
from movierate_spark.simulation import truth as truth_of
from movierate_spark.simulation.truth import (
    DAY_SECONDS,
    FIRST_YEAR,
    START_DAY,
    normal_quantile,
    pick,
    uniform,
)

FEWEST, MOST = 1_000, 1_000_000_000
# Shares in percent, close to those of MovieLens 1M.
AGES = {1: 3, 18: 18, 25: 35, 35: 20, 45: 9, 50: 8, 56: 7}
USUAL_OCCUPATION = {1: (10, 0.9), 18: (4, 0.45), 56: (13, 0.35)}  # pupils, students, the retired
OTHER_OCCUPATIONS = dict(enumerate([14, 11, 5, 4, 6, 2, 5, 14, 1, 2, 0, 3, 8, 1, 6, 3, 5, 10, 1, 2, 6]))
GENRES = {
    **{"Action": 8, "Adventure": 4, "Animation": 2, "Children's": 4, "Comedy": 19, "Crime": 3},
    **{"Documentary": 2, "Drama": 25, "Fantasy": 1, "Film-Noir": 1, "Horror": 5, "Musical": 2},
    **{"Mystery": 2, "Romance": 7, "Sci-Fi": 4, "Thriller": 8, "War": 2, "Western": 1},
}
GENRES_PER_MOVIE = {1: 49, 2: 33, 3: 14, 4: 4}

AGAIN_AFTER = 10  # a re-rating is of the movie that the user rated this many ratings before
FEWEST_PER_USER, SPREAD = 20, 1.137  # SPREAD is that of the log-normal counts: mean 165, median 97
HEAD, TAIL = 1.25, 4.5  # steepness of the popularity curve for popular and for unpopular movies

ADJECTIVES = """Blue Broken Burning Crimson Distant Électric Frozen Gentle Golden Hidden Hollow Last Lost
    Naïve Paper Quiet Restless Second Secret Silent Velvet Wild Winter Wooden"""
NOUNS = """Café Detective Fiancée Garden Harbour Horizon Kingdom Lantern Letter Mirror Neighbour Orchard
    Passenger Piano Promise River Road Sailor Señor Stranger Summer Teacher Train Voyage Waltz Witness"""
PLACES = """Boston Cádiz Dublin Havana Lisbon Málaga Nairobi Oslo Québec Rome Saigon Texas Venice Vienna
    Yukon Zürich"""


class Sizes(NamedTuple):
    """Numbers of rows of the three files."""

    ratings: int
    users: int
    movies: int


def sizes_for(ratings: int) -> Sizes:
    """The sizes for a number of ratings, in proportions as in MovieLens 1M.

    Raises:
        InputError: fewer than 1,000 or more than 1e9 ratings.
    """
    if not FEWEST <= ratings <= MOST:
        raise InputError(
            f"{ratings} is out of range. Give a number from {FEWEST:,} to {MOST:,}.", argument="ratings"
        )
    return Sizes(ratings, max(20, round(ratings / 165)), round(3883 * (ratings / 1e6) ** 0.25))


def users(spark: SparkSession, sizes: Sizes, *, seed: int) -> DataFrame:
    """One row per user: user_id, gender, age, occupation, zip."""
    draw = partial(uniform, seed, ("user_id",))
    occupation = pick(OTHER_OCCUPATIONS, draw("occupation"))
    for age, (usual, share) in USUAL_OCCUPATION.items():
        occupation = F.when((F.col("age") == age) & (draw("usual") < share), usual).otherwise(occupation)
    men = F.when(F.col("occupation") == 9, 0.05).otherwise(0.73)  # 9 is homemaker
    digits, more = F.floor(draw("zip") * 100_000), F.floor(draw("zip+4") * 10_000)
    zip5, zip9 = F.format_string("%05d", digits), F.format_string("%05d-%04d", digits, more)
    ids = spark.range(1, sizes.users + 1).withColumnRenamed("id", "user_id")
    aged = ids.withColumn("age", pick(AGES, draw("age"))).withColumn("occupation", occupation)
    return aged.select(
        "user_id",
        F.when(draw("gender") < men, "M").otherwise("F").alias("gender"),
        "age",
        "occupation",
        F.when(draw("long zip") < 0.015, zip9).otherwise(zip5).alias("zip"),
    )


def movies(spark: SparkSession, sizes: Sizes, *, seed: int) -> DataFrame:
    """One row per movie: movie_id, title, year, genres, popularity (0 is the most rated)."""
    draw = partial(uniform, seed, ("movie_id",))
    genres = F.array(*[pick(GENRES, draw(f"genre {place}")) for place in range(max(GENRES_PER_MOVIE))])
    some = F.slice(genres, 1, pick(GENRES_PER_MOVIE, draw("genres")))
    # Half of the films are from the last nine years, and the oldest are from 1920.
    year = FIRST_YEAR - F.floor(81 * F.pow(draw("year"), F.lit(3.2)))
    rank = F.row_number().over(Window.orderBy(draw("popularity"), "movie_id"))
    ids = spark.range(1, sizes.movies + 1).withColumnRenamed("id", "movie_id")
    return ids.withColumn("year", year).select(
        "movie_id",
        F.format_string("%s (%d)", title(seed), F.col("year")).alias("title"),
        "year",
        F.sort_array(F.array_distinct(some)).alias("genres"),
        (rank - 1).cast("long").alias("popularity"),
    )


def title(seed: int) -> Column:
    """A random title, with its article at the end as in MovieLens."""
    draw = partial(uniform, seed, ("movie_id",))
    lists = (ADJECTIVES, NOUNS, PLACES)
    adjective, noun, place = (pick(dict.fromkeys(words.split(), 1), draw(words)) for words in lists)
    thing, form = F.concat_ws(" ", adjective, noun), draw("title")
    return (
        F.when(form < 0.3, F.concat(thing, F.lit(", The")))
        .when(form < 0.6, F.concat_ws(" in ", thing, place))
        .when(form < 0.8, F.concat(thing, F.lit(" of "), place, F.lit(", The")))
        .otherwise(thing)
    )


def rated(
    people: DataFrame, films: DataFrame, sizes: Sizes, *, seed: int, re_ratings: float = 0.0
) -> DataFrame:
    """One row per rating: user_id, movie_id, stars, second, logit, level, base.

    Without ``re_ratings``, each (user, movie) occurs at most once, else each (user, movie, second).
    """
    tastes = truth_of.user_tastes(people, seed=seed)
    appeal = truth_of.movie_appeal(films, seed=seed, count=sizes.movies)
    raters = tastes.join(activity(people.select("user_id"), sizes, seed=seed), "user_id", "inner")
    # Repartitioned by user while there is a row per user: the windows below need no further shuffle.
    raters = raters.repartition(8 + sizes.ratings // 500_000, "user_id")
    viewed = with_seconds(with_popularity(raters, sizes, seed=seed), seed=seed)
    viewed = with_re_ratings(viewed, share=re_ratings, seed=seed)
    viewed = viewed.join(F.broadcast(appeal), "popularity", "inner")
    return truth_of.with_logits(viewed).select(
        "user_id", "movie_id", truth_of.stars(seed=seed).alias("stars"), "second", "logit", "level", "base"
    )


def activity(people: DataFrame, sizes: Sizes, *, seed: int) -> DataFrame:
    """The number of ratings of each user, which add up to the size: one row per user, user_id and ratings.

    The numbers are log-normal above a minimum, and limited so that nobody rates much more than half of the
    movies. Each user has a different quantile, so that the distribution is the same for few users as for
    many.
    """
    free = sizes.ratings - FEWEST_PER_USER * sizes.users
    most = (0.5 * sizes.movies - FEWEST_PER_USER) / free * sizes.users * math.exp(SPREAD**2 / 2)
    by_luck = Window.orderBy(uniform(seed, ("user_id",), "activity"), "user_id")
    quantile = (F.row_number().over(by_luck) - F.lit(0.5)) / sizes.users
    weight = F.ceil(100 * F.least(F.lit(most), F.exp(SPREAD * normal_quantile(quantile))))
    up_to, total = F.sum("weight").over(Window.orderBy("user_id")), F.sum("weight").over(Window.partitionBy())
    weighted = people.select("user_id", weight.alias("weight"))
    shares = weighted.select("*", up_to.alias("up_to"), total.alias("total"))
    ratings = f"{free}L * up_to div total - {free}L * (up_to - weight) div total + {FEWEST_PER_USER}"
    return shares.select("user_id", F.expr(ratings).alias("ratings"))


def with_popularity(raters: DataFrame, sizes: Sizes, *, seed: int) -> DataFrame:
    """One row per rating: the user's columns, ``k`` from 0, and a movie's popularity rank.

    A user's ranks are all different. The popularity curve is divided into as many equal shares as the user
    has ratings, and the k-th rating is drawn from the k-th share. If that movie is taken, it is the next one.
    """
    k, last = F.col("k"), sizes.movies - F.col("ratings")
    share = F.pow((k + uniform(seed, ("user_id", "k"), "movie")) / F.col("ratings"), F.lit(HEAD))
    wanted = F.floor(-F.ln(1 - share * (1 - math.exp(-TAIL))) / TAIL * sizes.movies)
    # Limited, so that enough movies are left for the user's remaining ratings.
    ahead = F.least(wanted - k, last)
    so_far = Window.partitionBy("user_id").orderBy("k")
    rows = raters.select("*", F.explode(F.sequence(F.lit(0).cast("long"), F.col("ratings") - 1)).alias("k"))
    return rows.withColumn("ahead", ahead).withColumn("popularity", k + F.max("ahead").over(so_far))


def with_seconds(rows: DataFrame, *, seed: int) -> DataFrame:
    """Add ``second`` (epoch): users rate several movies per page, and some return after days."""
    user, draw = partial(uniform, seed, ("user_id",)), partial(uniform, seed, ("user_id", "k"))
    returns = F.when(user("returns") < 0.4, 3 / F.col("ratings")).otherwise(0.0)
    away = F.when(draw("session") < returns, 2 + F.floor(-F.ln(draw("away")) * 45)).otherwise(0)
    pause = F.when(draw("page") < 0.5, 4 + F.floor(-F.ln(draw("pause")) * 30)).otherwise(0)
    in_turn = Window.partitionBy("user_id").orderBy(draw("order"), "k")
    so_far = in_turn.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    sums = F.sum("away").over(so_far).alias("day"), F.sum("pause").over(so_far).alias("elapsed")
    in_sessions = rows.withColumn("away", away).withColumn("pause", pause).select("*", *sums)

    session = partial(uniform, seed, ("user_id", "day"))
    day = START_DAY + F.floor(900 * F.pow(user("start"), F.lit(1.4))) + F.col("day")
    # 1970-01-01 was a Thursday: days 2 and 3, modulo 7, are a weekend.
    postponed = F.when((day % 7).between(2, 3) & (session("weekend") < 0.35), 2).otherwise(0)
    evening = (session("hour") + session("hour too")) * 0.45 + 0.35
    clock = F.floor(evening % 1 * DAY_SECONDS)
    return in_sessions.withColumn("second", (day + postponed) * DAY_SECONDS + clock + F.col("elapsed"))


def with_re_ratings(rows: DataFrame, *, share: float, seed: int) -> DataFrame:
    """Turn a random ``share`` of ratings into ratings of the movie rated ten before; add ``again`` (boolean).

    A rating is not changed if the other one is of the same second.
    """
    if not share:
        return rows.withColumn("again", F.lit(False))
    in_turn = Window.partitionBy("user_id").orderBy("second", "popularity")
    before = F.lag(F.struct("popularity", "second"), AGAIN_AFTER).over(in_turn)
    drawn = uniform(seed, ("user_id", "k"), "again") < share
    again = F.coalesce(drawn & (F.col("before.second") < F.col("second")), F.lit(False))
    popularity = F.when(F.col("again"), F.col("before.popularity")).otherwise(F.col("popularity"))
    marked = rows.withColumn("before", before).withColumn("again", again)
    return marked.withColumn("popularity", popularity).drop("before")
