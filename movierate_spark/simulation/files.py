"""Simulated files of any size in the layout of MovieLens 1M, with a planted truth."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.errors import InputError
from movierate_spark.simulation import truth as truth_of
from movierate_spark.simulation.rows import Sizes, movies, rated, sizes_for, users
from movierate_spark.storage.files import (
    chunks_of,
    entries,
    make_folder,
    move,
    remove_if_empty,
    remove_tree,
    replace_json,
    write_chunks,
)
from movierate_spark.storage.folders import check_folder
from movierate_spark.storage.locations import Location, uri_of
from movierate_spark.storage.tables import pattern_of

FILES = ("ratings.dat", "users.dat", "movies.dat")
TRUTH, WORK = "truth.json", ".simulation"


def simulate(
    spark: SparkSession, out: Location, *, ratings: int, seed: int, re_ratings: float = 0.0
) -> dict[str, Any]:
    """Write ratings.dat, users.dat, movies.dat and truth.json to ``out``; returns the truth.

    The files depend only on ``ratings``, ``seed`` and ``re_ratings``: at most this share of the ratings are
    of a movie that the user has rated before. An earlier simulation in ``out`` is kept until the new one is
    complete. On a cluster, ``out`` must be a folder that all machines share.

    Raises:
        InputError: ``ratings``, ``seed`` or ``re_ratings`` is out of range, or ``out`` is a file or holds
            anything but a simulation.
    """
    sizes = sizes_for(ratings)
    if not 0 <= re_ratings <= 1:
        raise InputError(f"{re_ratings} is out of range. Give a share from 0 to 1.", argument="re_ratings")
    if not 0 <= seed < 2**63:
        raise InputError(f"{seed} is out of range. Give a whole number from 0 to 2^63 - 1.", argument="seed")
    with workspace(out) as work:
        truth = {"seed": seed, "sizes": sizes._asdict(), "min_rating": truth_of.MIN_RATING}
        truth |= {"re_ratings": re_ratings, "effects": truth_of.effects()}
        truth |= write_files(spark, work, sizes, seed=seed, re_ratings=re_ratings)
        replace_json(work / TRUTH, truth)
        publish(work, out)
    return truth


def write_files(
    spark: SparkSession, work: Location, sizes: Sizes, *, seed: int, re_ratings: float
) -> dict[str, Any]:
    """Write the three files to ``work``; returns the measured part of the truth."""
    people, films = users(spark, sizes, seed=seed), movies(spark, sizes, seed=seed)
    staged = work / "rated"
    rated(people, films, sizes, seed=seed, re_ratings=re_ratings).write.parquet(uri_of(staged))
    rows = spark.read.parquet(pattern_of(staged))
    in_order = rows.orderBy("user_id", "second", "movie_id")
    write_single(in_order.select(line("user_id", "movie_id", "stars", "second")), work / FILES[0])
    user_lines = line("user_id", "gender", "age", "occupation", "zip")
    write_single(people.orderBy("user_id").select(user_lines), work / FILES[1])
    films = films.withColumn("genres", F.concat_ws("|", "genres"))
    write_single(films.orderBy("movie_id").select(line("movie_id", "title", "genres")), work / FILES[2])
    return truth_of.evaluate(rows, rows=sizes.ratings)


def line(*columns: str) -> Column:
    """A line of a MovieLens 1M file from these columns."""
    return F.concat_ws("::", *[F.col(column).cast("string") for column in columns])


def write_single(lines: DataFrame, target: Location) -> None:
    """Write the single column of ``lines``, in order, to one ISO-8859-1 file, with constant memory."""
    parts = target.with_name(f"{target.name}.parts")
    lines.write.text(uri_of(parts))
    pieces = (parts / name for name in entries(parts) if name.startswith("part-"))
    decoder = codecs.getincrementaldecoder("utf-8")()
    chunks = (chunk for piece in pieces for chunk in chunks_of(piece))
    write_chunks(target, (decoder.decode(chunk).encode("ISO-8859-1") for chunk in chunks))
    remove_tree(parts)


@contextmanager
def workspace(out: Location) -> Iterator[Location]:
    """An empty folder in ``out``, removed after the block.

    A killed run leaves it; it marks ``out`` as the folder of a simulation.

    Raises:
        InputError: ``out`` cannot be created, is a file, or holds anything but a simulation.
    """
    work = out / WORK
    try:
        existed = out.exists()
        refuse_other_contents(out)
        remove_tree(work)
        make_folder(work)
    except OSError as error:
        raise InputError(
            f"{out}: {error.strerror}. Name a folder that can be written.", argument="out"
        ) from error
    try:
        yield work
    finally:
        remove_tree(work)
        if not existed:
            remove_if_empty([out])


def refuse_other_contents(out: Location) -> None:
    """Refuse a folder that holds anything but a simulation.

    Raises:
        InputError: ``out`` is a file, or holds other files.
    """
    is_simulation = (out / TRUTH).is_file() or (out / WORK).is_dir()
    check_folder(out, "out", {*FILES, TRUTH, WORK} if is_simulation else ())


def publish(work: Location, out: Location) -> None:
    """Move the finished files from ``work`` to ``out``; truth.json is removed first and moved last."""
    (out / TRUTH).unlink(missing_ok=True)
    for name in (*FILES, TRUTH):
        move(work / name, out / name)
