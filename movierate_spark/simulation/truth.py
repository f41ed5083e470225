"""The planted truth of simulated ratings: who likes what, and the best AUC that is possible.

P(liked) = sigmoid(logit), logit = level + taste, level = base + user effect + movie effect + drift. The base
depends on demographics, genres, the film's age and the hour. Taste is the dot product of a vector of the user
and one of the movie. Genres and demographics say nothing about these vectors, so that a model can learn taste
only from what the same people rate alike. Every random draw is a hash of a key, so that the same seed gives
the same ratings at any partitioning.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from movierate_spark.columns import sigmoid

MIN_RATING = 4.0
START_DAY, FIRST_YEAR = 11_072, 2000  # 2000-04-25 in days since 1970; no film is newer
HOUR_SECONDS, DAY_SECONDS, YEAR_SECONDS = 3_600, 86_400, 31_557_600

INTERCEPT = -0.15
GENDER = {"F": 0.15, "M": 0.0}
AGE = {"1": -0.45, "18": -0.30, "25": 0.0, "35": 0.20, "45": 0.30, "50": 0.45, "56": 0.65}
OCCUPATION = [
    *[0.0, 0.15, -0.20, 0.30, -0.05, -0.30, 0.40, 0.05, -0.40, 0.30, -0.15],
    *[0.20, 0.10, 0.45, 0.25, 0.40, 0.0, 0.05, -0.35, -0.55, -0.45],
]
GENRE = {
    **{"Action": -0.30, "Adventure": -0.20, "Animation": 0.40, "Children's": -0.80, "Comedy": -0.30},
    **{"Crime": 0.45, "Documentary": 1.10, "Drama": 0.60, "Fantasy": -0.40, "Film-Noir": 1.60},
    **{"Horror": -1.20, "Musical": 0.25, "Mystery": 0.40, "Romance": 0.10, "Sci-Fi": -0.40},
    **{"Thriller": 0.0, "War": 1.00, "Western": 0.20},
}
GENRE_BY_GENDER = {
    "F": {
        "Romance": 0.25,
        "Musical": 0.25,
        "Children's": 0.20,
        "Action": -0.20,
        "War": -0.20,
        "Sci-Fi": -0.15,
    }
}
GENRE_BY_AGE = {
    "1": {"Children's": 0.30, "Animation": 0.20, "Drama": -0.20},
    "18": {"Horror": 0.25, "Action": 0.15, "Musical": -0.20},
    "45": {"Western": 0.20, "War": 0.15},
    "50": {"Western": 0.25, "Horror": -0.25, "Drama": 0.10},
    "56": {"Musical": 0.30, "Film-Noir": 0.20, "Horror": -0.30},
}
SEGMENTS = [(gender, age) for gender in GENDER for age in AGE]
FILM_AGE_PER_YEAR = 0.022
EVENING = [0.06, 0.08, 0.09, 0.10, 0.09, 0.08, 0.06, 0.04, 0.02, 0.0, -0.02, -0.04]
HOUR = EVENING + [round(0.0 - effect, 2) for effect in EVENING]
USER_SD, MOVIE_SD = 0.90, 0.85
POPULARITY_SLOPE = 0.6  # from the most popular movie to the least
DRIFT_PER_YEAR = -0.06
# As much as a movie's effect and more: neighbours or factors learnt from 100,000 ratings gain .02 to .03 AUC.
TASTE_DIMENSIONS, TASTE_SD = 4, 1.0

SCORES = {"best_auc": "logit", "best_auc_means": "level", "best_auc_base": "base"}
WIDEST_LOGIT, BUCKETS_PER_LOGIT = 8, 128


def effects() -> dict[str, Any]:
    """The planted effects by name: values on the logit scale, or a standard deviation."""
    return {
        "intercept": INTERCEPT,
        "gender": GENDER,
        "age": AGE,
        "occupation": {str(code): effect for code, effect in enumerate(OCCUPATION)},
        "genre_mean": GENRE,
        "genre_mean_by_gender": GENRE_BY_GENDER,
        "genre_mean_by_age": GENRE_BY_AGE,
        "film_age_per_year": FILM_AGE_PER_YEAR,
        "hour": {str(hour): effect for hour, effect in enumerate(HOUR)},
        "user_sd": USER_SD,
        "movie_sd": MOVIE_SD,
        "popularity_slope": POPULARITY_SLOPE,
        "drift_per_year": DRIFT_PER_YEAR,
        "taste_dimensions": TASTE_DIMENSIONS,
        "taste_sd": TASTE_SD,
    }


def uniform(seed: int, keys: tuple[str, ...], salt: str) -> Column:
    """A hash of the keys in the open interval (0, 1); keys are integer columns without nulls."""
    bits = F.xxhash64(F.lit(seed).cast("long"), F.lit(salt), *[F.col(key).cast("long") for key in keys])
    return (F.shiftrightunsigned(bits, 12) + F.lit(0.5)) * F.lit(2.0**-52)


def normal_quantile(probability: Column) -> Column:
    """Tukey's lambda approximation of the standard normal quantile, accurate within three sigma."""
    power = F.lit(0.135)
    return (F.pow(probability, power) - F.pow(1 - probability, power)) / F.lit(0.1975)


def constant(values: Any, ddl: str) -> Column:
    """A list or mapping as one literal; a ``F.lit`` per item would be slower than the query."""
    return F.from_json(F.lit(json.dumps(values)), ddl)


def pick(shares: Mapping[Any, int], draw: Column) -> Column:
    """The value that a uniform ``draw`` selects, in proportion to the ``shares``."""
    pool = [value for value, share in shares.items() for _ in range(share)]
    ddl = "array<int>" if isinstance(pool[0], int) else "array<string>"
    return F.get(constant(pool, ddl), F.floor(draw * len(pool)).cast("int"))


def user_tastes(users: DataFrame, *, seed: int) -> DataFrame:
    """One row per user: user_id, segment (index in ``SEGMENTS``), user_base, user_effect, user_taste."""
    age = F.col("age").cast("string")
    segments = constant([gender + group for gender, group in SEGMENTS], "array<string>")
    by_gender = constant(GENDER, "map<string, double>")[F.col("gender")]
    by_age = constant(AGE, "map<string, double>")[age]
    by_occupation = F.get(constant(OCCUPATION, "array<double>"), F.col("occupation"))
    return users.select(
        "user_id",
        (F.array_position(segments, F.concat("gender", age)) - 1).cast("int").alias("segment"),
        (INTERCEPT + by_gender + by_age + by_occupation).alias("user_base"),
        (USER_SD * normal_quantile(uniform(seed, ("user_id",), "user effect"))).alias("user_effect"),
        taste_vector(seed, "user_id").alias("user_taste"),
    )


def movie_appeal(movies: DataFrame, *, seed: int, count: int) -> DataFrame:
    """One row per movie: movie_id, popularity, movie_base (by segment), movie_effect, movie_taste.

    The popularity is a rank: 0 is the most rated movie.
    """
    by_genre = constant(segment_effects(), "map<string, array<double>>")
    film_age = FILM_AGE_PER_YEAR * (FIRST_YEAR - F.col("year"))

    def base(segment: Column) -> Column:
        total = F.aggregate(
            "genres", F.lit(0.0), lambda so_far, genre: so_far + F.get(by_genre[genre], segment)
        )
        return total / F.size("genres") + film_age

    # The mean of popularity / count over ratings is about 0.25: the slope hardly changes the like rate.
    popular = POPULARITY_SLOPE * (0.25 - F.col("popularity") / count)
    own = MOVIE_SD * normal_quantile(uniform(seed, ("movie_id",), "movie effect"))
    return movies.select(
        "movie_id",
        "popularity",
        F.transform(F.sequence(F.lit(0), F.lit(len(SEGMENTS) - 1)), base).alias("movie_base"),
        (own + popular).alias("movie_effect"),
        taste_vector(seed, "movie_id").alias("movie_taste"),
    )


def taste_vector(seed: int, key: str) -> Column:
    """The standard normal numbers of each id; those of a user and of a movie with equal ids differ."""
    draws = [uniform(seed, (key,), f"{key} taste {place}") for place in range(TASTE_DIMENSIONS)]
    return F.array(*map(normal_quantile, draws))


def segment_effects() -> dict[str, list[float]]:
    """Each genre's effect in each of ``SEGMENTS``, including interactions."""

    def effect(genre: str, gender: str, age: str) -> float:
        interactions = (GENRE_BY_GENDER.get(gender, {}), GENRE_BY_AGE.get(age, {}))
        return GENRE[genre] + sum(by.get(genre, 0.0) for by in interactions)

    return {genre: [effect(genre, *segment) for segment in SEGMENTS] for genre in GENRE}


def with_logits(ratings: DataFrame) -> DataFrame:
    """Add ``base``, ``level`` and ``logit`` to ratings with tastes, appeal and second."""
    hour = F.floor(F.col("second") % DAY_SECONDS / HOUR_SECONDS).cast("int")
    by_hour = F.get(constant(HOUR, "array<double>"), hour)
    base = F.col("user_base") + F.get("movie_base", F.col("segment")) + by_hour
    years = (F.col("second") - START_DAY * DAY_SECONDS) / F.lit(YEAR_SECONDS)
    rest = F.col("user_effect") + F.col("movie_effect") + DRIFT_PER_YEAR * years
    levelled = ratings.withColumn("base", base).withColumn("level", F.col("base") + rest)
    return levelled.withColumn("logit", F.col("level") + taste())


def taste() -> Column:
    """How much more a user likes a movie than both their levels say: standard deviation ``TASTE_SD``."""
    places = range(TASTE_DIMENSIONS)
    products = (F.get("user_taste", place) * F.get("movie_taste", place) for place in places)
    return F.lit(TASTE_SD / math.sqrt(TASTE_DIMENSIONS)) * sum(products, start=F.lit(0.0))


def stars(*, seed: int) -> Column:
    """Stars from 1 to 5: likes with the planted probability, more extreme stars at extreme logits.

    A rating of a movie rated ``again`` is an independent draw.
    """

    def draw(salt: str) -> Column:
        anew = uniform(seed, ("user_id", "movie_id", "second"), salt)
        return F.when(F.col("again"), anew).otherwise(uniform(seed, ("user_id", "movie_id"), salt))

    logit = F.col("logit")
    extreme = draw("stars")
    high = F.when(extreme < sigmoid(0.8 * logit - 1.0), 5).otherwise(4)
    low = F.when(extreme < sigmoid(-0.8 * logit - 2.3), 1).when(extreme < sigmoid(-0.8 * logit - 0.8), 2)
    return F.when(draw("label") < sigmoid(logit), high).otherwise(low.otherwise(3))


def evaluate(rated: DataFrame, *, rows: int) -> dict[str, Any]:
    """Like rate and best AUCs, from ``stars, second`` and scores: of all ``rows`` and of the last tenth."""
    since = last_tenth_since(rated, rows=rows)
    everything, late = figures(rated), figures(rated.where(F.col("second") >= since))
    like_rate = everything.pop("liked") / everything.pop("rows")
    del late["liked"]
    return {"like_rate": like_rate, **everything, "last_tenth": {"since": since, **late}}


def last_tenth_since(rated: DataFrame, *, rows: int) -> int:
    """The latest epoch second with at least a tenth of the ``rows`` at or after it."""
    wanted = -(-rows // 10)
    day = F.floor(F.col("second") / DAY_SECONDS)
    days = iter(rated.groupBy(day.alias("day")).count().orderBy(F.desc("day")).collect())
    newest, count = next(days)
    while count < wanted:
        wanted -= count
        newest, count = next(days)
    # A day has at most 86,400 seconds, few enough for one partition.
    later = F.sum("count").over(Window.orderBy(F.desc("second")))
    seconds = rated.where(day == newest).groupBy("second").count().withColumn("later", later)
    return int(seconds.where(F.col("later") >= wanted).agg(F.max("second")).collect()[0][0])


def figures(rated: DataFrame) -> dict[str, Any]:
    """Rows, liked rows and the exact AUC of each of ``SCORES``; None if all labels are the same.

    AUC = P(score of a liked rating > score of another rating) + P(equal) / 2, from integer counts.
    """
    pieces = auc_pieces(rated).collect()
    values: dict[str, Any] = {}
    for name in SCORES:
        ones = others = wins = 0
        for piece in sorted((p for p in pieces if p["name"] == name), key=lambda p: int(p["bucket"])):
            wins += piece["wins"] + 2 * piece["ones"] * others
            ones += piece["ones"]
            others += piece["others"]
        values |= {"rows": ones + others, "liked": ones}
        values[name] = wins / (2 * ones * others) if ones and others else None
    return values


def auc_pieces(rated: DataFrame) -> DataFrame:
    """One row per score and bucket, a few thousand in all: name, bucket, ones, others, wins.

    ``wins`` counts pairs in the right order within the bucket twice, and ties once.
    """
    one = (F.col("stars") >= MIN_RATING).cast("long")
    named = [
        F.struct(F.lit(name).alias("name"), F.col(score).alias("score")) for name, score in SCORES.items()
    ]
    bounded = F.greatest(F.lit(-WIDEST_LOGIT), F.least(F.lit(WIDEST_LOGIT), F.col("score")))
    up_to = Window.partitionBy("name", "bucket").orderBy("score").rangeBetween(Window.unboundedPreceding, 0)
    # Each pair is right, wrong or tied: (right + tied) - (wrong + tied) + all = 2 right + tied.
    balance = F.when(F.col("one") == 1, F.col("others_up_to")).otherwise(-F.col("ones_up_to"))
    ones, others = F.sum("one"), F.sum(1 - F.col("one"))
    return (
        rated.select(one.alias("one"), F.inline(F.array(*named)))
        .withColumn("bucket", F.floor(bounded * BUCKETS_PER_LOGIT))
        .select("*", ones.over(up_to).alias("ones_up_to"), others.over(up_to).alias("others_up_to"))
        .groupBy("name", "bucket")
        .agg(ones.alias("ones"), others.alias("others"), (F.sum(balance) + ones * others).alias("wins"))
    )
