"""prepare: three files to the lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.errors import InputError, MovierateError
from movierate_spark.inputs import cleaning as clean
from movierate_spark.inputs import ledger as counting
from movierate_spark.inputs import rules as validate
from movierate_spark.inputs.delivery import Delivery, find_delivery
from movierate_spark.inputs.lines import TABLES, whole
from movierate_spark.progress import Progress
from movierate_spark.storage import lake
from movierate_spark.storage.attempts import Attempt
from movierate_spark.storage.documents import Ledger, TableCounts
from movierate_spark.storage.folders import check_lake_folder
from movierate_spark.storage.tables import identity_of, pattern_of, reader
from movierate_spark.times import CLOCK_TOLERANCE


@dataclass(frozen=True)
class Preparation:
    """What is to be prepared: a folder of three files, in a format or one that their names tell.

    ``expected_rows`` are what the delivery states it holds, by table; ``force`` prepares again what the
    lake has been made of already.
    """

    source: Path
    format_name: str = "auto"
    expected_rows: Mapping[str, int] = field(default_factory=dict)
    force: bool = False


@dataclass(frozen=True)
class PreparedLake:
    """The lake's ledger, and whether this run has made it."""

    ledger: Ledger
    is_new: bool


def prepare_lake(
    spark: SparkSession, settings: Settings, progress: Progress, *, delivered: Preparation, target: Path
) -> PreparedLake:
    """Three files to the lake, unless it was made of the same ones by the same settings.

    Raises:
        InputError: the delivery can't be found, is of another size than stated, or too few of its rows can
            be accepted.
    """
    source = delivered.source
    delivery = find_delivery(source, format_name=delivered.format_name, settings=settings.input)
    check_lake_folder(target)
    before = lake.open_tables(target)
    made_of = _made_of(delivery, settings)
    if not delivered.force and (ledger := lake.made_of_the_same(target, made_of)):
        _check_size(delivery, ledger.tables, delivered.expected_rows)
        return PreparedLake(ledger, is_new=False)
    with progress.step(f"check {source} ({delivery.format.name})"):
        checked, counts = {}, {}
        for name, path in delivery.paths.items():
            with whole(path):
                checked[name] = _checked(spark, delivery, name, settings)
                counts[name] = counting.row_counts(validate.count_by_rule(checked[name]))
    _check_size(delivery, counts, delivered.expected_rows)
    limit = settings.validate_.max_rejected_fraction
    for name, path in delivery.paths.items():
        counting.check_rejected(path, name, counts[name], max_fraction=limit)
    frames = _cleaned(spark, checked, settings)
    with progress.step(f"write {target}"), lake.publishing(target, frames) as attempts:
        tables = _counted(spark, delivery, counts, attempts)
        if _made_of(delivery, settings) != made_of:
            raise MovierateError(f"{source}: its files have changed while they were read: run it again")
        return PreparedLake(lake.publish(target, attempts, tables, made_of, to=before), is_new=True)


def _made_of(delivery: Delivery, settings: Settings) -> dict[str, Any]:
    """What a lake is made of, for its ledger: of the same the same lake comes."""
    sections = settings.model_dump(mode="json", include={"input", "validate_", "clean"})
    inputs = {path.name: identity_of(path) for path in delivery.files}
    return {
        "format": delivery.format.name,
        "inputs": inputs,
        "settings": sections,
        "made_by": version("movierate-spark"),
    }


def _check_size(delivery: Delivery, counts: Mapping[str, TableCounts], expected: Mapping[str, int]) -> None:
    for name, rows in expected.items():
        delivered = counts[name].read - counts[name].blank if name in counts else 0
        if delivered != rows:
            raise InputError(
                f"{delivery.paths.get(name, name)}: {delivered} rows, but --expect-rows {name}={rows}: is the"
                " delivery complete?"
            )


def _checked(spark: SparkSession, delivery: Delivery, name: str, settings: Settings) -> DataFrame:
    rules = validate.rules(
        name,
        scale=delivery.rating_scale,
        earliest=settings.validate_.rated_at_min,
        latest=datetime.now(UTC) + CLOCK_TOLERANCE,
    )
    return validate.with_rule(delivery.read(spark, name), rules)


def _cleaned(
    spark: SparkSession, checked: Mapping[str, DataFrame], settings: Settings
) -> dict[str, DataFrame]:
    parts = {name: validate.split_by_rule(name, lines) for name, lines in checked.items()}
    users = (
        clean.clean_users(parts["users"].valid, settings=settings.clean)
        if "users" in parts
        else spark.createDataFrame([], schemas.USERS)
    )
    return {
        "ratings": clean.clean_ratings(parts["ratings"].valid),
        "users": users,
        "movies": clean.clean_movies(parts["movies"].valid),
        "rejected": reduce(DataFrame.unionByName, (part.rejected for part in parts.values())),
    }


def _counted(
    spark: SparkSession,
    delivery: Delivery,
    counts: Mapping[str, TableCounts],
    attempts: Mapping[str, Attempt],
) -> dict[str, TableCounts]:
    written = {
        name: reader(spark).schema(schemas.LAKE[name]).parquet(pattern_of(attempts[name].folder))
        for name in TABLES
    }
    nothing = counting.row_counts({})
    tables = {
        name: counting.with_superseded(counts.get(name, nothing), kept=attempts[name].rows) for name in TABLES
    }
    orphans = counting.count_orphans(**written, have_users="users" in delivery.paths)
    re_rated = counting.count_re_rated(written["ratings"])
    demographics = ("gender", "age_group", "occupation", "zip3")
    beside: dict[str, dict[str, Any]] = {
        "ratings": {"re_rated": re_rated, "orphans": orphans, "unknown": {}},
        "users": {"unknown": counting.unknown_counts(written["users"], demographics)},
        "movies": {"unknown": counting.unknown_counts(written["movies"], ("year", "genres"))},
    }
    return {name: each.model_copy(update=beside[name]) for name, each in tables.items()}
