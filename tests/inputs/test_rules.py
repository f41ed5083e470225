from __future__ import annotations

from datetime import UTC, datetime

import pytest
from chispa import assert_column_equality
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from movierate_spark.inputs import rules

EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def test_an_id_is_digits_that_fit_64_bits_with_spaces_cut(spark: SparkSession) -> None:
    rows = [("7", True), (" 7 ", True), ("007", True), ("9223372036854775807", True)]
    rows += [("9223372036854775808", False), ("-7", False), ("+7", False), ("7.0", False), ("1e3", False)]
    rows += [("", False), ("\t7", False), ("7\x00", False), ("\u0667", False), (None, False)]
    frame = spark.createDataFrame(rows, "text string, expected boolean")
    assert_column_equality(frame.withColumn("actual", rules.is_id(F.col("text"))), "actual", "expected")


def test_a_rating_has_at_most_one_decimal_and_lies_on_the_scale(spark: SparkSession) -> None:
    rows = [("1", True), ("5", True), ("3.5", True), (" 4 ", True), ("5.0", True)]
    rows += [("0.5", False), ("5.5", False), ("3.25", False), ("4.", False), (".5", False), ("5d", False)]
    rows += [("NaN", False), ("1e0", False), ("+4", False), ("4\t", False), (None, False)]
    frame = spark.createDataFrame(rows, "text string, expected boolean")
    actual = frame.withColumn("actual", rules.is_rating(F.col("text"), low=1.0, high=5.0))
    assert_column_equality(actual, "actual", "expected")


def test_milliseconds_and_times_outside_the_range_are_no_seconds(spark: SparkSession) -> None:
    rows = [("978300760", True), ("631152000", True), ("1767225600", True)]
    rows += [("978300760000", False), ("631151999", False), ("1767225601", False), ("0", False)]
    rows += [("99999999999999999999", False), ("2000-12-31", False), (None, False)]
    frame = spark.createDataFrame(rows, "text string, expected boolean")
    actual = rules.is_second(F.col("text"), earliest=EARLIEST, latest=LATEST)
    assert_column_equality(frame.withColumn("actual", actual), "actual", "expected")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ((True, "1", "2", "4", "978300760", "1::2::4::978300760"), None),
        ((False, "x", "2", "4", "978300760", "x::2"), "field_count"),
        ((True, "x", "y", "9", "0", "x::y::9::0"), "user_id"),
        ((True, "1", "y", "9", "0", "1::y::9::0"), "movie_id"),
        ((True, "1", "2", "9", "0", "1::2::9::0"), "rating"),
        ((True, "1", "2", "4", "0", "1::2::4::0"), "rated_at"),
        ((False, None, None, None, None, " \t "), "blank"),
        ((False, None, None, None, None, "\x00"), "field_count"),
        ((False, None, None, None, None, "\x85"), "field_count"),
    ],
)
def test_a_row_is_blamed_once_for_the_first_rule_it_breaks(
    spark: SparkSession, line: tuple[object, ...], rule: str | None
) -> None:
    schema = "complete boolean, user_id string, movie_id string, rating string, rated_at string, raw string"
    of_ratings = rules.rules_of("ratings", scale=(1.0, 5.0), earliest=EARLIEST, latest=LATEST)
    checked = rules.with_rule(spark.createDataFrame([line], schema), of_ratings)
    assert [row["rule"] for row in checked.collect()] == [rule]


def test_rejected_rows_are_kept_whole_and_blank_lines_are_in_neither_frame(spark: SparkSession) -> None:
    rows = [(None, "good", "a"), ("rating", "bad line", "a"), ("blank", "  ", "a")]
    lines = spark.createDataFrame(rows, "rule string, raw string, source_file string")
    valid, rejected = rules.split_by_rule("ratings", lines)
    assert [row["raw"] for row in valid.collect()] == ["good"]
    assert [tuple(row) for row in rejected.collect()] == [("ratings", "rating", "bad line", "a")]
