"""What makes a row acceptable: rules with names, and a frame split into valid and rejected rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import is_blank, one_decimal_number, present, whole_number

BLANK = "blank"


class Checked(NamedTuple):
    """A table's lines, each in exactly one of the frames; blank lines are in neither."""

    valid: DataFrame
    rejected: DataFrame


def has_all_fields() -> Column:
    """The line has the number of fields that its table has."""
    return F.col("complete")


def is_id(text: Column) -> Column:
    """Digits that fit a 64-bit integer; null is no id."""
    return whole_number(text).isNotNull()


def is_rating(text: Column, *, low: float, high: float) -> Column:
    """Digits with at most one decimal, within the scale; null is no rating."""
    return F.coalesce(one_decimal_number(text).between(low, high), F.lit(False))


def is_second(text: Column, *, earliest: datetime, latest: datetime) -> Column:
    """Epoch seconds between the two times, both included; milliseconds lie far outside."""
    seconds = whole_number(text).between(int(earliest.timestamp()), int(latest.timestamp()))
    return F.coalesce(seconds, F.lit(False))


def is_title(text: Column) -> Column:
    """Anything but spaces."""
    return present(text).isNotNull()


def rules(
    table: str, *, scale: tuple[float, float], earliest: datetime, latest: datetime
) -> dict[str, Column]:
    """The rules of a table, by name, in the order in which a row is blamed."""
    low, high = scale
    all_rules = {
        "field_count": has_all_fields(),
        "user_id": is_id(F.col("user_id")) if table != "movies" else None,
        "movie_id": is_id(F.col("movie_id")) if table != "users" else None,
        "rating": is_rating(F.col("rating"), low=low, high=high) if table == "ratings" else None,
        "rated_at": is_second(F.col("rated_at"), earliest=earliest, latest=latest)
        if table == "ratings"
        else None,
        "title": is_title(F.col("title")) if table == "movies" else None,
    }
    return {name: rule for name, rule in all_rules.items() if rule is not None}


def broken_rule(row_rules: Mapping[str, Column]) -> Column:
    """The name of the first rule that a row breaks, ``blank`` for a blank line, null for a valid row."""
    first = F.coalesce(*(F.when(~rule, F.lit(name)) for name, rule in row_rules.items()))
    return F.when(is_blank(F.col("raw")), F.lit(BLANK)).otherwise(first)


def with_rule(lines: DataFrame, row_rules: Mapping[str, Column]) -> DataFrame:
    """Add ``rule``: see :func:`broken_rule`."""
    return lines.withColumn("rule", broken_rule(row_rules))


def split_by_rule(table: str, lines: DataFrame) -> Checked:
    """Part lines with a ``rule`` into valid rows, and rejected ones as the lake keeps them."""
    rejected = lines.where((F.col("rule") != BLANK) & F.col("rule").isNotNull())
    return Checked(
        valid=lines.where(F.col("rule").isNull()),
        rejected=rejected.select(F.lit(table).alias("table"), "rule", "raw", "source_file"),
    )


def count_by_rule(lines: DataFrame) -> dict[str | None, int]:
    """Lines by ``rule`` (null: valid), in one pass."""
    return {row["rule"]: row["count"] for row in lines.groupBy("rule").count().collect()}
