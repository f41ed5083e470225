"""Named rules that rows must obey, and the split into valid and rejected rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import is_blank, one_decimal_number, present, whole_number

BLANK = "blank"


class LinesByRule(NamedTuple):
    """A table's lines: each is in exactly one of the frames, blank lines in neither."""

    valid: DataFrame
    rejected: DataFrame


def has_all_fields() -> Column:
    """True if the line has its table's number of fields."""
    return F.col("complete")


def is_id(text: Column) -> Column:
    """True for digits that fit a 64-bit integer; false for null."""
    return whole_number(text).isNotNull()


def is_rating(text: Column, *, low: float, high: float) -> Column:
    """True for a number with at most one decimal from ``low`` to ``high``; false for null."""
    return F.coalesce(one_decimal_number(text).between(low, high), F.lit(False))


def is_second(text: Column, *, earliest: datetime, latest: datetime) -> Column:
    """True for epoch seconds between the two times, both included; false for null and for milliseconds."""
    seconds = whole_number(text).between(int(earliest.timestamp()), int(latest.timestamp()))
    return F.coalesce(seconds, F.lit(False))


def first_future_second(lines: DataFrame, *, latest: datetime) -> int | None:
    """The first second after ``latest`` for which lines with ``rule`` were rejected; None without any."""
    second = whole_number(F.col("rated_at"))
    in_future = lines.where((F.col("rule") == "rated_at") & (second > int(latest.timestamp())))
    row = in_future.agg(F.min(second).alias("first")).head()
    return row["first"] if row else None


def is_title(text: Column) -> Column:
    """True for any text other than spaces; false for null."""
    return present(text).isNotNull()


def rules_of(
    table: str, *, scale: tuple[float, float], earliest: datetime, latest: datetime
) -> dict[str, Column]:
    """The rules of a table by name; a row is rejected by the first one that it breaks."""
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
    """The name of the first rule that a row breaks; ``blank`` for a blank line, null for a valid row."""
    first = F.coalesce(*(F.when(~rule, F.lit(name)) for name, rule in row_rules.items()))
    return F.when(is_blank(F.col("raw")), F.lit(BLANK)).otherwise(first)


def with_rule(lines: DataFrame, row_rules: Mapping[str, Column]) -> DataFrame:
    """Add ``rule``: see :func:`broken_rule`."""
    return lines.withColumn("rule", broken_rule(row_rules))


def split_by_rule(table: str, lines: DataFrame) -> LinesByRule:
    """Split lines with ``rule`` into valid rows, and rejected rows with the columns of the lake's table."""
    rejected = lines.where((F.col("rule") != BLANK) & F.col("rule").isNotNull())
    return LinesByRule(
        valid=lines.where(F.col("rule").isNull()),
        rejected=rejected.select(F.lit(table).alias("table"), "rule", "raw", "source_file"),
    )


def count_by_rule(lines: DataFrame) -> dict[str | None, int]:
    """The number of lines by ``rule`` (null: valid), in one pass."""
    return {row["rule"]: row["count"] for row in lines.groupBy("rule").count().collect()}
