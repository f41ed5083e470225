"""prepare: three files to the lake."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from movierate_spark import clean, lake, schemas, validate
from movierate_spark.config import Settings
from movierate_spark.digests import digest_of
from movierate_spark.progress import Reporter
from movierate_spark.readers import TABLES, Delivery, find_delivery
from movierate_spark.times import CLOCK_TOLERANCE


def prepare(
    spark: SparkSession, settings: Settings, report: Reporter, *, source: Path, target: Path, format_name: str
) -> dict[str, Any]:
    """Three files to the lake; returns the ledger.

    Raises:
        InputError: the delivery can't be found, or too few of its rows can be accepted.
    """
    delivery = find_delivery(source, format_name=format_name, settings=settings.input)
    lake.check_free(target)
    before = lake.open_tables(target)
    with report.step(f"check {source} ({delivery.format.name})"):
        checked = {name: _checked(spark, delivery, name, settings) for name in delivery.paths}
        counts = {name: lake.row_counts(validate.count_by_rule(lines)) for name, lines in checked.items()}
    limit = settings.validate_.max_rejected_fraction
    for name, path in delivery.paths.items():
        lake.check_rejected(path, name, counts[name], max_fraction=limit)
    frames = _cleaned(spark, checked, settings, coded=delivery.format.name == "ml-1m")
    with report.step(f"write {target}"), lake.publishing(target, frames) as attempts:
        ledger = _ledger(spark, delivery, counts, attempts)
        return lake.publish(target, attempts, ledger, to=before)


def _checked(spark: SparkSession, delivery: Delivery, name: str, settings: Settings) -> DataFrame:
    rules = validate.rules(
        name,
        scale=delivery.rating_scale,
        earliest=settings.validate_.rated_at_min,
        latest=datetime.now(UTC) + CLOCK_TOLERANCE,
    )
    return validate.with_rule(delivery.read(spark, name), rules)


def _cleaned(
    spark: SparkSession, checked: Mapping[str, DataFrame], settings: Settings, *, coded: bool
) -> dict[str, DataFrame]:
    parts = {name: validate.split_by_rule(name, lines) for name, lines in checked.items()}
    users = (
        clean.clean_users(parts["users"].valid, coded=coded, settings=settings.clean)
        if "users" in parts
        else spark.createDataFrame([], schemas.USERS)
    )
    return {
        "ratings": clean.clean_ratings(parts["ratings"].valid),
        "users": users,
        "movies": clean.clean_movies(parts["movies"].valid),
        "rejected": reduce(DataFrame.unionByName, (part.rejected for part in parts.values())),
    }


def _ledger(
    spark: SparkSession, delivery: Delivery, counts: Mapping[str, Any], attempts: Mapping[str, Any]
) -> dict[str, Any]:
    written = {
        name: spark.read.schema(schemas.LAKE[name]).parquet(str(attempts[name].folder)) for name in TABLES
    }
    nothing = lake.row_counts({})
    tables = {
        name: lake.with_superseded(counts.get(name, nothing), kept=attempts[name].rows) for name in TABLES
    }
    orphans = lake.count_orphans(**written, have_users="users" in delivery.paths)
    tables["ratings"] |= {"orphans": orphans, "unknown": {}}
    demographics = ("gender", "age_group", "occupation", "zip3")
    tables["users"] |= {"unknown": lake.unknown_counts(written["users"], demographics)}
    tables["movies"] |= {"unknown": lake.unknown_counts(written["movies"], ("year", "genres"))}
    inputs = {path.name: digest_of(path) for path in delivery.paths.values()}
    return {"format": delivery.format.name, "inputs": inputs, "tables": tables}
