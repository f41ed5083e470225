"""Ratings of any size in the layout of MovieLens 1M, with a planted truth."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from movierate_spark import simulate_truth as truth_of
from movierate_spark.errors import InputError
from movierate_spark.simulate_truth import DAY, FIRST_YEAR, START_DAY, constant, normal_quantile, uniform

FEWEST, MOST = 1_000, 1_000_000_000
FILES = ("ratings.dat", "users.dat", "movies.dat")
TRUTH, WORK = "truth.json", ".simulation"
FEWEST_PER_USER = 20
HEAD, TAIL = 1.25, 4.5  # of the popularity curve: how steep its best and its worst sellers are

# Shares in percent, about those of MovieLens 1M.
AGES = {1: 3, 18: 18, 25: 35, 35: 20, 45: 9, 50: 8, 56: 7}
OCCUPATIONS = dict(
    enumerate([14, 11, 5, 4, 6, 2, 5, 14, 1, 2, 0, 3, 8, 1, 6, 3, 5, 10, 1, 2, 6])
)  # 10, a pupil, is left to the youngest
GENRES = {
    **{"Action": 8, "Adventure": 4, "Animation": 2, "Children's": 4, "Comedy": 19, "Crime": 3},
    **{"Documentary": 2, "Drama": 25, "Fantasy": 1, "Film-Noir": 1, "Horror": 5, "Musical": 2},
    **{"Mystery": 2, "Romance": 7, "Sci-Fi": 4, "Thriller": 8, "War": 2, "Western": 1},
}
GENRES_PER_MOVIE = {1: 49, 2: 33, 3: 14, 4: 4}

ADJECTIVES = (
    "Silent Golden Broken Hidden Crimson Last Distant Quiet Wild Lost Électric Blue Burning Frozen Gentle "
    "Hollow Naïve Paper Restless Second Secret Velvet Winter Wooden"
).split()
NOUNS = (
    "Café Garden River Letter Harbour Fiancée Orchard Detective Señor Piano Horizon Kingdom Lantern Mirror "
    "Neighbour Passenger Promise Road Sailor Stranger Summer Teacher Train Voyage Waltz Witness"
).split()
PLACES = (
    "Zürich Málaga Vienna Boston Lisbon Québec Dublin Havana Kraków Nairobi Oslo Rome Saigon Texas Venice Yukon"
).split()


class Sizes(NamedTuple):
    """Rows of the three files."""

    ratings: int
    users: int
    movies: int


def simulate(spark: SparkSession, out: Path, *, ratings: int, seed: int) -> dict[str, Any]:
    """Write ratings.dat, users.dat, movies.dat and truth.json into ``out``, and return the truth.

    The files depend on ``ratings`` and ``seed`` only. A former simulation in ``out`` stays as it is
    until the new one is complete. On a cluster ``out`` must be a folder that all machines share.

    Raises:
        InputError: ``ratings`` or ``seed`` is out of range, or ``out`` is a file or holds anything
            but a simulation.
    """
    sizes = sizes_for(ratings)
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed: {seed} is out of range. Give a whole number from 0 to 2^63 - 1.")
    with workspace(out) as work:
        truth = {"seed": seed, "sizes": sizes._asdict(), "label_threshold": truth_of.THRESHOLD}
        truth |= {"effects": truth_of.effects()} | write_files(spark, work, sizes, seed=seed)
        (work / TRUTH).write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
        publish(work, out)
    return truth


def sizes_for(ratings: int) -> Sizes:
    """Users and movies that go with so many ratings, as in MovieLens 1M.

    Raises:
        InputError: fewer than 1,000 or more than 1e9 ratings.
    """
    if not FEWEST <= ratings <= MOST:
        raise InputError(f"--ratings: {ratings} is out of range. Give a number from {FEWEST:,} to {MOST:,}.")
    return Sizes(ratings, max(20, round(ratings / 165)), round(3883 * (ratings / 1e6) ** 0.25))


def write_files(spark: SparkSession, work: Path, sizes: Sizes, *, seed: int) -> dict[str, Any]:
    """Write the three files into ``work``; returns the measured part of the truth."""
    people, films = users(spark, sizes, seed=seed), movies(spark, sizes, seed=seed)
    staged = local_uri(work / "rated")
    rated(people, films, sizes, seed=seed).write.parquet(staged)
    rows = spark.read.parquet(staged)
    in_order = rows.orderBy("user_id", "second", "movie_id")
    write_single(in_order.select(line("user_id", "movie_id", "stars", "second")), work / FILES[0])
    user_lines = line("user_id", "gender", "age", "occupation", "zip")
    write_single(people.orderBy("user_id").select(user_lines), work / FILES[1])
    films = films.withColumn("genres", F.concat_ws("|", "genres"))
    write_single(films.orderBy("movie_id").select(line("movie_id", "title", "genres")), work / FILES[2])
    return truth_of.evaluate(rows, rows=sizes.ratings)


def pick(shares: Mapping[Any, int], draw: Column) -> Column:
    """The value that a uniform draw falls on, given each value's share."""
    pool = [value for value, share in shares.items() for _ in range(share)]
    kind = "int" if isinstance(pool[0], int) else "string"
    return F.get(constant(pool, f"array<{kind}>"), F.floor(draw * len(pool)).cast("int"))


def word(words: list[str], draw: Column) -> Column:
    """One of the words, each as likely as the others."""
    return pick(dict.fromkeys(words, 1), draw)


def users(spark: SparkSession, sizes: Sizes, *, seed: int) -> DataFrame:
    """Demographics, one row per user: user_id, gender, age, occupation, zip."""

    def draw(salt: str) -> Column:
        return uniform(seed, salt, "user_id")

    age, occupation = F.col("age"), F.col("occupation")
    usual = F.when(age == 1, 10).when(age == 18, 4).when(age == 56, 13)
    usual_share = F.when(age == 1, 0.9).when(age == 18, 0.45).when(age == 56, 0.35).otherwise(0.0)
    men = F.when(occupation == 9, 0.05).otherwise(0.73)
    zip5 = F.lpad(F.floor(draw("zip") * 100_000).cast("string"), 5, "0")
    plus4 = F.lpad(F.floor(draw("zip+4") * 10_000).cast("string"), 4, "0")
    aged = spark.range(1, sizes.users + 1).select(
        F.col("id").alias("user_id"), pick(AGES, draw("age")).alias("age")
    )
    busy = F.when(draw("usual") < usual_share, usual).otherwise(pick(OCCUPATIONS, draw("occupation")))
    return aged.withColumn("occupation", busy).select(
        "user_id",
        F.when(draw("gender") < men, "M").otherwise("F").alias("gender"),
        "age",
        "occupation",
        F.when(draw("has zip+4") < 0.015, F.concat_ws("-", zip5, plus4)).otherwise(zip5).alias("zip"),
    )


def movies(spark: SparkSession, sizes: Sizes, *, seed: int) -> DataFrame:
    """One row per movie: movie_id, title, year, genres, popularity (0 is the most rated)."""

    def draw(salt: str) -> Column:
        return uniform(seed, salt, "movie_id")

    shuffled = Window.orderBy(draw("popularity"), "movie_id")
    drawn = F.slice(
        F.array(*[pick(GENRES, draw(f"genre {i}")) for i in range(4)]),
        1,
        pick(GENRES_PER_MOVIE, draw("genres")),
    )
    year = FIRST_YEAR - F.floor(80 * F.pow(draw("year"), F.lit(3.2)))
    return (
        spark.range(1, sizes.movies + 1)
        .withColumnRenamed("id", "movie_id")
        .select(
            "movie_id",
            F.concat(title(seed), F.lit(" ("), year.cast("string"), F.lit(")")).alias("title"),
            year.alias("year"),
            F.array_sort(F.array_distinct(drawn)).alias("genres"),
            (F.row_number().over(shuffled) - 1).cast("long").alias("popularity"),
        )
    )


def title(seed: int) -> Column:
    """A pleasant title, its article at the end as MovieLens has it."""

    def draw(salt: str) -> Column:
        return uniform(seed, salt, "movie_id")

    thing = F.concat_ws(" ", word(ADJECTIVES, draw("adjective")), word(NOUNS, draw("noun")))
    place, form = word(PLACES, draw("place")), draw("form")
    return (
        F.when(form < 0.35, F.concat(thing, F.lit(", The")))
        .when(form < 0.55, F.concat_ws(" in ", thing, place))
        .when(form < 0.70, F.concat(F.concat_ws(" of ", thing, place), F.lit(", The")))
        .when(form < 0.80, F.concat_ws(" ", place, thing))
        .otherwise(thing)
    )


def rated(people: DataFrame, films: DataFrame, sizes: Sizes, *, seed: int) -> DataFrame:
    """One row per rating, each (user, movie) once: user_id, movie_id, stars, second, logit, base."""
    tastes = truth_of.user_tastes(people, seed=seed)
    appeal = truth_of.movie_appeal(films, seed=seed, count=sizes.movies)
    raters = tastes.join(activity(people.select("user_id"), sizes, seed=seed), "user_id", "inner")
    # By user once, before the rows exist: both windows below then need no further shuffle.
    raters = raters.repartition(8 + sizes.ratings // 500_000, "user_id")
    viewed = with_seconds(with_popularity(raters, sizes, seed=seed), seed=seed)
    viewed = viewed.join(F.broadcast(appeal), "popularity", "inner")
    return truth_of.with_logits(viewed).select(
        "user_id", "movie_id", truth_of.stars(seed=seed).alias("stars"), "second", "logit", "base"
    )


def activity(people: DataFrame, sizes: Sizes, *, seed: int) -> DataFrame:
    """How many movies each user rates, one row per user: user_id, ratings; they add up to the size.

    Log-normal above a minimum of 20, cut so that nobody rates much more than half of the movies. Each user
    takes another quantile, so that small sizes have the same shape.
    """
    free, sigma = sizes.ratings - FEWEST_PER_USER * sizes.users, 1.137
    mean = math.exp(sigma**2 / 2)
    most = (0.5 * sizes.movies - FEWEST_PER_USER) / free * mean * sizes.users
    by_luck = Window.orderBy(uniform(seed, "activity", "user_id"), "user_id")
    quantile = (F.row_number().over(by_luck) - F.lit(0.5)) / sizes.users
    weight = F.least(F.lit(most), F.exp(sigma * normal_quantile(quantile)))
    so_far = F.sum("weight").over(Window.orderBy("user_id"))
    share = F.expr(f"{free}L * so_far div total")
    return (
        people.select("user_id", F.ceil(100 * weight).alias("weight"))
        .select("*", so_far.alias("so_far"), F.sum("weight").over(Window.partitionBy()).alias("total"))
        .select(
            "user_id",
            "weight",
            share.alias("upper"),
            F.expr(f"{free}L * (so_far - weight) div total").alias("lower"),
        )
        .select("user_id", (F.col("upper") - F.col("lower") + FEWEST_PER_USER).alias("ratings"))
    )


def with_popularity(raters: DataFrame, sizes: Sizes, *, seed: int) -> DataFrame:
    """One row per rating: the user's columns, ``k`` from 0, and the popularity rank of another movie each.

    The k-th rating falls into the k-th of the user's equal shares of the popularity curve. A
    movie that is taken already pushes it to the next one.
    """
    k, last = F.col("k"), sizes.movies - F.col("ratings")
    share = F.pow((k + uniform(seed, "movie", "user_id", "k")) / F.col("ratings"), F.lit(HEAD))
    wanted = F.floor(-F.ln(1 - share * (1 - math.exp(-TAIL))) / TAIL * sizes.movies)
    # Never so late that the user's remaining ratings would run out of movies.
    ahead = F.least(wanted - k, last)
    so_far = Window.partitionBy("user_id").orderBy("k")
    rows = raters.select("*", F.explode(F.sequence(F.lit(0).cast("long"), F.col("ratings") - 1)).alias("k"))
    return rows.withColumn("ahead", ahead).withColumn("popularity", k + F.max("ahead").over(so_far))


def with_seconds(rows: DataFrame, *, seed: int) -> DataFrame:
    """Add ``second`` (since 1970): users rate a page at a time, and some come back after days."""

    def draw(salt: str, key: str = "k") -> Column:
        return uniform(seed, salt, "user_id", key)

    def wait(salt: str, mean: float) -> Column:
        return F.floor(-F.ln(draw(salt)) * mean)

    returns = F.when(uniform(seed, "returns", "user_id") < 0.4, 3 / F.col("ratings")).otherwise(0.0)
    events = rows.withColumn("away", F.when(draw("session") < returns, 2 + wait("away", 45)).otherwise(0))
    events = events.withColumn("pause", F.when(draw("page") < 0.5, 4 + wait("pause", 30)).otherwise(0))
    so_far = (
        Window.partitionBy("user_id").orderBy(draw("order"), "k").rowsBetween(Window.unboundedPreceding, 0)
    )
    sums = [F.sum(name).over(so_far).alias(f"{name}_so_far") for name in ("away", "pause")]
    sat = events.select("*", *sums)

    start = START_DAY + F.floor(900 * F.pow(uniform(seed, "start", "user_id"), F.lit(1.4)))
    day = start + F.col("away_so_far")
    # 1970-01-01 was a Thursday: days 2 and 3 after it, modulo 7, are a weekend.
    weekend = (day % 7).between(2, 3) & (draw("weekend", "away_so_far") < 0.35)
    evening = (draw("hour", "away_so_far") + draw("hour too", "away_so_far")) * 0.45 + 0.35
    clock = F.floor(evening % 1 * DAY)
    return sat.withColumn(
        "second", (day + F.when(weekend, 2).otherwise(0)) * DAY + clock + F.col("pause_so_far")
    )


def line(*columns: str) -> Column:
    """The columns as one line of a MovieLens 1M file."""
    return F.concat_ws("::", *[F.col(column).cast("string") for column in columns])


def local_uri(path: Path) -> str:
    """The path as Spark takes it, whatever the cluster's default file system is."""
    return f"file://{path.resolve()}"


def write_single(lines: DataFrame, target: Path) -> None:
    """Write the one column of ``lines`` in its order as one ISO-8859-1 file; memory use is constant."""
    parts = target.with_suffix(".parts")
    lines.write.text(local_uri(parts))
    with target.open("w", encoding="ISO-8859-1", newline="") as file:
        for part in sorted(parts.glob("part-*")):
            with part.open(encoding="utf-8", newline="") as piece:
                shutil.copyfileobj(piece, file, 1 << 20)
    shutil.rmtree(parts)


@contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """An empty folder inside ``out``, removed at the end.

    Left over by a killed run, it also tells that ``out`` is ours.

    Raises:
        InputError: ``out`` cannot be made, is a file, or holds anything but a simulation.
    """
    work, existed = out / WORK, out.exists()
    if existed and not out.is_dir():
        raise InputError(f"{out}: is a file. Name a new folder with --out.")
    if existed and any(out.iterdir()) and not (out / TRUTH).is_file() and not work.is_dir():
        raise InputError(
            f"{out}: holds files but no simulation ({TRUTH}). Name a new or empty folder with --out."
        )
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror}). Name another folder with --out."
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if not existed and not any(out.iterdir()):
            out.rmdir()


def publish(work: Path, out: Path) -> None:
    """Move the finished files out of ``work``; truth.json goes first and comes last."""
    (out / TRUTH).unlink(missing_ok=True)
    for name in (*FILES, TRUTH):
        (work / name).replace(out / name)
