"""The planted truth of simulated ratings: who likes what, and how well that could be known at best.

P(liked) = sigmoid(logit), logit = base + user effect + movie effect + drift. The base is what
demographics, genres, the film's age and the hour decide. Every draw is a hash of a key, so that the
same seed gives the same world in any partitioning.
"""

from __future__ import annotations

import json
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

THRESHOLD = 4.0
START_DAY = 11_072  # 2000-04-25 in days since 1970
FIRST_YEAR = 2000  # of the first rating; no film is newer
DAY, YEAR = 86_400, 31_557_600  # seconds

INTERCEPT = -0.42
GENDER = {"F": 0.12, "M": 0.0}
AGE = {"1": -0.42, "18": -0.28, "25": 0.0, "35": 0.21, "45": 0.30, "50": 0.50, "56": 0.70}
SEGMENTS = [(gender, age) for gender in GENDER for age in AGE]
OCCUPATION = [
    *[0.0, 0.10, -0.15, 0.25, -0.05, -0.20, 0.30, 0.05, -0.30, 0.20, -0.10],
    *[0.15, 0.10, 0.35, 0.20, 0.30, 0.0, 0.05, -0.25, -0.40, -0.30],
]
GENRE = {
    **{"Action": -0.20, "Adventure": -0.15, "Animation": 0.30, "Children's": -0.60, "Comedy": -0.20},
    **{"Crime": 0.35, "Documentary": 0.85, "Drama": 0.50, "Fantasy": -0.30, "Film-Noir": 1.30},
    **{"Horror": -0.95, "Musical": 0.20, "Mystery": 0.30, "Romance": 0.10, "Sci-Fi": -0.30},
    **{"Thriller": 0.0, "War": 0.80, "Western": 0.15},
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
FILM_AGE_PER_YEAR = 0.018
HOUR = [round(0.01 * step, 2) for step in (6, 8, 9, 10, 9, 8, 6, 4, 2, 0, -2, -4)]
HOUR += [-effect for effect in HOUR]
USER_SD, MOVIE_SD = 0.90, 0.85
POPULARITY_SLOPE = 0.6  # from the most popular movie down to the least
DRIFT_PER_YEAR = -0.06

BUCKETS_PER_LOGIT, WIDEST_LOGIT = 128, 8
FIGURES = ("best_auc", "best_auc_base")


def uniform(seed: int, salt: str, *keys: str) -> Column:
    """A hash of the keys in the open interval (0, 1); keys are integer columns without nulls."""
    bits = F.xxhash64(F.lit(seed).cast("long"), F.lit(salt), *[F.col(key).cast("long") for key in keys])
    return (F.shiftrightunsigned(bits, 12) + F.lit(0.5)) * F.lit(2.0**-52)


def normal_quantile(probability: Column) -> Column:
    """Tukey's lambda approximation of the standard normal quantile, within 0.01 inside three sigma."""
    power = F.lit(0.135)
    return (F.pow(probability, power) - F.pow(1 - probability, power)) / F.lit(0.1975)


def sigmoid(logit: Column) -> Column:
    """The logistic function; null stays null."""
    return 1 / (1 + F.exp(-logit))


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
    }


def constant(values: Any, ddl: str) -> Column:
    """A list or a mapping as one literal: one call where ``F.array(*map(F.lit, ...))`` makes hundreds."""
    return F.from_json(F.lit(json.dumps(values)), ddl)


def user_tastes(users: DataFrame, *, seed: int) -> DataFrame:
    """One row per user: user_id, segment (place in ``SEGMENTS``), user_base, user_effect."""
    segment = constant([gender + age for gender, age in SEGMENTS], "array<string>")
    gender = constant(GENDER, "map<string, double>")[F.col("gender")]
    age = constant(AGE, "map<string, double>")[F.col("age").cast("string")]
    occupation = F.get(constant(OCCUPATION, "array<double>"), F.col("occupation"))
    return users.select(
        "user_id",
        (F.array_position(segment, F.concat("gender", F.col("age").cast("string"))) - 1).alias("segment"),
        (INTERCEPT + gender + age + occupation).alias("user_base"),
        (USER_SD * normal_quantile(uniform(seed, "user effect", "user_id"))).alias("user_effect"),
    )


def movie_appeal(movies: DataFrame, *, seed: int, count: int) -> DataFrame:
    """One row per movie: movie_id, popularity (0 is the highest), movie_base by segment, movie_effect."""
    table = constant(segment_effects(), "map<string, array<double>>")

    def mean(segment: Column) -> Column:
        total = F.aggregate("genres", F.lit(0.0), lambda so_far, genre: so_far + F.get(table[genre], segment))
        return total / F.size("genres") + FILM_AGE_PER_YEAR * (FIRST_YEAR - F.col("year"))

    # A rating's popularity averages about 0.25, so that the slope moves no liked share.
    popular = POPULARITY_SLOPE * (0.25 - F.col("popularity") / count)
    return movies.select(
        "movie_id",
        "popularity",
        F.transform(F.sequence(F.lit(0), F.lit(len(SEGMENTS) - 1)), mean).alias("movie_base"),
        (MOVIE_SD * normal_quantile(uniform(seed, "movie effect", "movie_id")) + popular).alias("movie_effect"),
    )


def segment_effects() -> dict[str, list[float]]:
    """Each genre's effect on every one of ``SEGMENTS``, interactions included."""

    def effect(genre: str, gender: str, age: str) -> float:
        interactions = (GENRE_BY_GENDER.get(gender, {}), GENRE_BY_AGE.get(age, {}))
        return GENRE[genre] + sum(by.get(genre, 0.0) for by in interactions)

    return {genre: [effect(genre, *segment) for segment in SEGMENTS] for genre in GENRE}


def with_logits(ratings: DataFrame) -> DataFrame:
    """Add ``base`` and ``logit``, given the tastes, the appeal and the second of each rating."""
    ratings = ratings.withColumn("hour", F.floor(F.col("second") % DAY / 3600))
    base = F.col("user_base") + F.get("movie_base", F.col("segment").cast("int")) + F.get(constant(HOUR, "array<double>"), F.col("hour").cast("int"))
    years = (F.col("second") - START_DAY * DAY) / F.lit(YEAR)
    rest = F.col("user_effect") + F.col("movie_effect") + DRIFT_PER_YEAR * years
    return ratings.withColumn("base", base).withColumn("logit", F.col("base") + rest)


def stars(*, seed: int) -> Column:
    """1 to 5: at least the threshold with the planted probability, more extreme at extreme logits."""
    logit, extreme = F.col("logit"), uniform(seed, "stars", "user_id", "movie_id")
    liked = uniform(seed, "label", "user_id", "movie_id") < sigmoid(logit)
    high = F.when(extreme < sigmoid(0.8 * logit - 1.0), 5).otherwise(4)
    low = F.when(extreme < sigmoid(-0.8 * logit - 2.3), 1)
    return F.when(liked, high).otherwise(low.when(extreme < sigmoid(-0.8 * logit - 0.8), 2).otherwise(3))


def last_tenth_since(rated: DataFrame, *, rows: int) -> int:
    """The latest second (since 1970) with at least a tenth of the ``rows`` at or after it."""
    wanted = -(-rows // 10)
    day = F.floor(F.col("second") / DAY)
    for newest, count in rated.groupBy(day.alias("day")).count().orderBy(F.desc("day")).collect():
        if count >= wanted:
            break
        wanted -= count
    # One day has at most 86,400 seconds, so that one partition holds them.
    later = F.sum("count").over(Window.orderBy(F.desc("second")))
    seconds = rated.where(day == newest).groupBy("second").count().withColumn("later", later)
    return int(seconds.where(F.col("later") >= wanted).agg(F.max("second")).collect()[0][0])


def evaluate(rated: DataFrame, *, rows: int) -> dict[str, Any]:
    """Like rate and best AUCs of ratings with ``stars, second, logit, base``: all, and the last tenth.

    The AUC is exact: P(score of a liked one > score of another) + half of P(equal), from integer
    counts. It is None where all labels are the same.
    """
    since = last_tenth_since(rated, rows=rows)
    pieces = _pieces(rated, since=since).collect()
    everything, late = _figures(pieces, ""), _figures(pieces, "late_")
    return {
        "like_rate": everything["liked"] / everything["rows"],
        **{figure: everything[figure] for figure in FIGURES},
        "last_tenth": {"since": since, "rows": late["rows"], **{figure: late[figure] for figure in FIGURES}},
    }


def _pieces(rated: DataFrame, *, since: int) -> DataFrame:
    """Counts per figure and bucket of the score, a few thousand rows in all.

    A bucket's ``wins`` are twice its pairs in the right order, plus its tied pairs.
    """
    liked, late = F.col("liked").cast("long"), F.col("late").cast("long")
    bounded = F.greatest(F.lit(-WIDEST_LOGIT), F.least(F.lit(WIDEST_LOGIT), F.col("score")))
    earlier = (
        Window.partitionBy("figure", "bucket").orderBy("score").rowsBetween(Window.unboundedPreceding, -1)
    )

    def below(other: str) -> Column:
        return F.coalesce(F.sum(other).over(earlier), F.lit(0))

    def wins(ones: str, others: str, lower: str) -> Column:
        return F.sum(F.col(ones) * (2 * F.col(lower) + F.col(others)))

    named = [F.struct(F.lit(name).alias("figure"), F.col(score).alias("score")) for name, score in _SCORES]
    return (
        rated.select(
            (F.col("stars") >= THRESHOLD).alias("liked"),
            (F.col("second") >= since).alias("late"),
            F.inline(F.array(*named)),
        )
        .withColumn("bucket", F.floor(bounded * BUCKETS_PER_LOGIT))
        .repartition("figure", "bucket")
        .groupBy("figure", "bucket", "score")
        .agg(
            F.sum(liked).alias("ones"),
            F.sum(1 - liked).alias("others"),
            F.sum(liked * late).alias("late_ones"),
            F.sum((1 - liked) * late).alias("late_others"),
        )
        .select("*", below("others").alias("lower"), below("late_others").alias("late_lower"))
        .groupBy("figure", "bucket")
        .agg(
            F.sum("ones").alias("ones"),
            F.sum("others").alias("others"),
            wins("ones", "others", "lower").alias("wins"),
            F.sum("late_ones").alias("late_ones"),
            F.sum("late_others").alias("late_others"),
            wins("late_ones", "late_others", "late_lower").alias("late_wins"),
        )
    )


_SCORES = (("best_auc", "logit"), ("best_auc_base", "base"))


def _figures(pieces: list[Any], prefix: str) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for figure in FIGURES:
        ones = others = wins = 0
        for piece in sorted((p for p in pieces if p["figure"] == figure), key=lambda p: p["bucket"]):
            wins += piece[prefix + "wins"] + 2 * piece[prefix + "ones"] * others
            ones += piece[prefix + "ones"]
            others += piece[prefix + "others"]
        figures |= {"rows": ones + others, "liked": ones}
        figures[figure] = wins / (2 * ones * others) if ones and others else None
    return figures
