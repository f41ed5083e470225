"""prepare: from three files to a lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial, reduce
from importlib.metadata import version
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.errors import InputError, MovierateError
from movierate_spark.inputs.cleaning import clean_movies, clean_ratings, clean_users
from movierate_spark.inputs.delivery import Delivery, find_delivery
from movierate_spark.inputs.ledger import (
    check_not_empty,
    check_rejected,
    count_orphans,
    count_re_rated,
    row_counts,
    unknown_counts,
    with_superseded,
)
from movierate_spark.inputs.lines import TABLES, whole
from movierate_spark.inputs.rules import (
    count_by_rule,
    first_future_second,
    rules_of,
    split_by_rule,
    with_rule,
)
from movierate_spark.progress import Progress
from movierate_spark.storage import lake
from movierate_spark.storage.attempts import Attempt
from movierate_spark.storage.documents import DeliveryCounts, Ledger, TableCounts
from movierate_spark.storage.folders import lake_to_write
from movierate_spark.storage.locations import Location
from movierate_spark.storage.tables import identity_of, pattern_of, reader
from movierate_spark.times import CLOCK_TOLERANCE

UNKNOWN = {"users": ("gender", "age_group", "occupation", "zip3"), "movies": ("year", "genres")}
"""The columns of each table whose unknown values are counted."""


@dataclass(frozen=True)
class Preparation:
    """What to prepare: the folder ``source`` of three files.

    ``format_name`` is the files' format, or auto: it is recognised by their names. ``expected_rows`` maps
    tables to their expected number of rows. ``force`` prepares again even if the files are the same.

    Raises:
        InputError: there is no such table as one of ``expected_rows``.
    """

    source: Location
    format_name: str = "auto"
    expected_rows: Mapping[str, int] = field(default_factory=dict)
    force: bool = False

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.expected_rows) - set(TABLES)):
            raise InputError(f"{unknown[0]}: not one of {', '.join(TABLES)}", argument="expect_rows")


@dataclass(frozen=True)
class PreparedLake:
    """The lake's ledger, and the counts of the delivery alone.

    ``is_new`` is False if the lake already had the delivery.
    """

    ledger: Ledger
    delivery: DeliveryCounts
    is_new: bool


def prepare_lake(
    spark: SparkSession, settings: Settings, progress: Progress, *, preparation: Preparation, target: Location
) -> PreparedLake:
    """Prepare the lake ``target``, unless it was made from the same files with the same settings.

    Raises:
        InputError: the delivery can't be found or read, has another number of rows than expected, or too many
            of its rows are rejected; or ``target`` holds other files.
        MovierateError: the files changed while they were read.
        ConflictError: another run has published a lake meanwhile.
    """
    source = preparation.source
    delivery = find_delivery(source, format_name=preparation.format_name, settings=settings.input)
    state, before = lake_to_write(target), lake.current_ledger(target)
    provenance = made_of(delivery, settings)
    if not preparation.force and (ledger := lake.made_of_the_same(target, provenance)):
        check_size(delivery, ledger.tables, preparation.expected_rows)
        return PreparedLake(ledger, ledger, is_new=False)
    read = read_delivery(spark, delivery, settings, progress, preparation=preparation)
    for name, path in delivery.paths.items():
        check_not_empty(path, name, read.counts[name])
    # Without a state, its tables are emptied, so that vacuum can remove what they held.
    empty = {"users"}.union(name for name in schemas.STATE if state.tables[name].files) - set(read.frames)
    frames = {
        **read.frames,
        **{name: spark.createDataFrame([], schemas.LAKE_AND_STATE[name]) for name in empty},
    }
    with progress.step(f"write {target}"), lake.publishing(target, frames) as attempts:
        tables = _counted(spark, delivery, read.counts, attempts)
        check_unchanged(delivery, settings, provenance)
        ledger = lake.publish(target, attempts, tables, provenance, to=state, before=before)
        return PreparedLake(ledger, ledger, is_new=True)


@dataclass(frozen=True)
class ReadDelivery:
    """The counts of the delivered tables' lines, and the lake's rows that they become.

    ``frames`` have one row per key, and in ``rejected`` the lines that broke a rule.
    """

    counts: Mapping[str, TableCounts]
    frames: Mapping[str, DataFrame]


def read_delivery(
    spark: SparkSession,
    delivery: Delivery,
    settings: Settings,
    progress: Progress,
    *,
    preparation: Preparation,
) -> ReadDelivery:
    """Count the lines of a delivery by the rules that they break.

    Raises:
        InputError: it can't be read, has another number of rows than expected, or too many are rejected.
    """
    with progress.step(f"check {preparation.source} ({delivery.format.name})"):
        checked, counts, latest = {}, {}, datetime.now(UTC) + CLOCK_TOLERANCE
        for name, path in delivery.paths.items():
            with whole(path):
                checked[name] = _checked(spark, delivery, name, settings, latest=latest)
                counts[name] = _counts(checked[name], latest=latest)
    check_size(delivery, counts, preparation.expected_rows)
    limit = settings.validate_.max_rejected_fraction
    for name, path in delivery.paths.items():
        check_rejected(path, name, counts[name], max_fraction=limit)
    return ReadDelivery(counts, _cleaned(checked, settings))


def check_unchanged(delivery: Delivery, settings: Settings, provenance: Mapping[str, Any]) -> None:
    """Refuse a delivery that is no longer what :func:`made_of` said before it was read.

    Raises:
        MovierateError: a file has changed.
    """
    if made_of(delivery, settings) != provenance:
        folder = delivery.files[0].parent
        raise MovierateError(f"{folder}: its files changed while they were read: run prepare again")


def made_of(delivery: Delivery, settings: Settings) -> dict[str, Any]:
    """What the lake is made from, for its ledger: equal inputs and settings give an equal lake."""
    sections = settings.model_dump(mode="json", include={"input", "validate_", "clean"})
    inputs = {path.name: identity_of(path) for path in delivery.files}
    return {
        "format": delivery.format.name,
        "inputs": inputs,
        "settings": sections,
        "made_by": version("movierate-spark"),
    }


def check_size(delivery: Delivery, counts: Mapping[str, TableCounts], expected: Mapping[str, int]) -> None:
    """Refuse a delivery with another number of rows than expected, blank lines aside.

    Raises:
        InputError: a table has more or fewer.
    """
    for name, rows in expected.items():
        delivered = counts[name].read - counts[name].blank if name in counts else 0
        if delivered != rows:
            path = delivery.paths.get(name, name)
            raise InputError(f"{path}: {delivered} rows, expected {rows}: is the delivery complete?")


def _checked(
    spark: SparkSession, delivery: Delivery, name: str, settings: Settings, *, latest: datetime
) -> DataFrame:
    rules = rules_of(
        name,
        scale=delivery.rating_scale,
        earliest=settings.validate_.rated_at_min,
        latest=latest,
    )
    return with_rule(delivery.read(spark, name), rules)


def _counts(checked: DataFrame, *, latest: datetime) -> TableCounts:
    counts = row_counts(count_by_rule(checked))
    if "rated_at" not in counts.by_rule:
        return counts
    first = first_future_second(checked, latest=latest)
    tolerance = int(CLOCK_TOLERANCE.total_seconds())
    return counts.model_copy(update={"valid_from": None if first is None else first - tolerance})


def _cleaned(checked: Mapping[str, DataFrame], settings: Settings) -> dict[str, DataFrame]:
    parts = {name: split_by_rule(name, lines) for name, lines in checked.items()}
    cleaning: dict[str, Callable[[DataFrame], DataFrame]] = {
        "ratings": clean_ratings,
        "users": partial(clean_users, settings=settings.clean),
        "movies": clean_movies,
    }
    frames = {name: cleaning[name](part.valid) for name, part in parts.items()}
    return {**frames, "rejected": reduce(DataFrame.unionByName, (part.rejected for part in parts.values()))}


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
    nothing = row_counts({})
    tables = {name: with_superseded(counts.get(name, nothing), kept=attempts[name].rows) for name in TABLES}
    orphans = count_orphans(**written, have_users="users" in delivery.paths)
    re_rated = count_re_rated(written["ratings"])
    beside: dict[str, dict[str, Any]] = {
        "ratings": {"re_rated": re_rated, "orphans": orphans, "unknown": {}},
        "users": {"unknown": unknown_counts(written["users"], UNKNOWN["users"])},
        "movies": {"unknown": unknown_counts(written["movies"], UNKNOWN["movies"])},
    }
    return {name: each.model_copy(update=beside[name]) for name, each in tables.items()}
