"""Requests to score: read line by line, judged by named rules, none of them lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from pathlib import Path

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import is_blank, present, whole_number
from movierate_spark.errors import InputError
from movierate_spark.inputs.csv_lines import by_header, check_each_named_once, read_header
from movierate_spark.inputs.lines import read_lines
from movierate_spark.inputs.parquet_records import is_parquet, parquet_lines, parquet_records
from movierate_spark.inputs.rules import broken_rule, has_all_fields, is_id
from movierate_spark.storage.digests import visible_files
from movierate_spark.storage.tables import is_delta_table

ISO_8601 = r"\A\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?\z"
REQUIRED = ("user_id", "movie_id")
RUN_DATE = "run_date"
OPTIONAL = ("at", RUN_DATE)
COLUMNS = (*REQUIRED, *OPTIONAL)
SAME_NAMES = {name: name for name in COLUMNS}


@dataclass(frozen=True)
class Requests:
    """The lines of a delivery; it ``is_dated`` where its header names a column run_date, whatever its rows.

    One row per line: ``raw``, ``source_file``, ``complete`` and user_id, movie_id, at, day as text. ``day``
    is the column run_date, '' where a row does not say; null in a delivery that is not dated.
    """

    path: Path
    lines: DataFrame
    is_dated: bool
    stamp: object

    def is_as_it_was(self) -> bool:
        """Whether the same files lie there as before anything was read of them."""
        return _stamp_of(self.path) == self.stamp


def _stamp_of(path: Path) -> object:
    """What another file in the same place has not: its number, size and time; so for all files of a folder.

    A Delta table's files are chosen once and never change.
    """
    if is_delta_table(path):
        return None
    files = sorted(visible_files(path)) if path.is_dir() else [path]
    return [(file.name, _told_of(file)) for file in files]


def _told_of(file: Path) -> tuple[int, int, int] | None:
    try:
        told = file.stat()
    except FileNotFoundError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns


def read_requests(spark: SparkSession, path: Path, *, separator: str = ",") -> Requests:
    """The requests in a CSV file, a Parquet file or a folder of some.

    Raises:
        InputError: no such file, zero bytes, cut off, no header, or a column missing or named twice.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file", argument="requests")
    stamp = _stamp_of(path)
    if is_parquet(path):
        records = parquet_records(spark, path)
        lines = parquet_lines(path, records, SAME_NAMES, set(OPTIONAL))
        _check_case(path, records.columns)
        is_dated = RUN_DATE in records.columns
        return Requests(path, _with_day(lines, is_dated=is_dated), is_dated, stamp)
    if path.is_dir():
        raise InputError(
            f"{path}: a folder without Parquet files; name a CSV file or a Parquet folder",
            argument="requests",
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): an empty delivery has a header", argument="requests")
    header = read_header(path, separator)
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise InputError(
            f"{path}: missing column(s) {', '.join(missing)}; the first line must name"
            " user_id, movie_id and optionally at and run_date",
            argument="requests",
        )
    check_each_named_once(path, header, argument="requests")
    _check_case(path, header)
    lines = by_header(read_lines(spark, path), header, COLUMNS, SAME_NAMES, separator=separator)
    is_dated = RUN_DATE in header
    return Requests(path, _with_day(lines, is_dated=is_dated), is_dated, stamp)


def _check_case(path: Path, header: Sequence[str]) -> None:
    """Refuse ``At`` and ``Run_Date``, which would be passed over as other columns are."""
    if odd := [name for name in header if name.lower() in COLUMNS and name not in COLUMNS]:
        raise InputError(
            f"{path}: column {odd[0]}: write {odd[0].lower()} in small letters", argument="requests"
        )


def _with_day(lines: DataFrame, *, is_dated: bool) -> DataFrame:
    day = F.coalesce(F.trim(RUN_DATE), F.lit("")) if is_dated else F.lit(None).cast("string")
    return lines.withColumn("day", day).drop(RUN_DATE)


def time_of(text: Column) -> Column:
    """A timestamp from epoch seconds or ISO 8601 (UTC where it names no zone); else null."""
    trimmed = F.trim(text)
    # Longer numbers than any year 9999 has overflow the timestamp.
    seconds = F.when(F.length(trimmed) <= 11, whole_number(trimmed))
    from_text = F.when(trimmed.rlike(ISO_8601), trimmed.try_cast("timestamp"))
    return F.coalesce(F.timestamp_seconds(seconds), from_text)


def with_rule(lines: DataFrame, *, earliest: datetime, latest: datetime) -> DataFrame:
    """Add ``rule``: the first that a request breaks, ``blank``, or null for one that can be scored.

    A time must lie between the two bounds; none at all is fine.
    """
    plausible = F.coalesce(time_of(F.col("at")).between(F.lit(earliest), F.lit(latest)), F.lit(False))
    rules = {
        "field_count": has_all_fields(),
        "user_id": is_id(F.col("user_id")),
        "movie_id": is_id(F.col("movie_id")),
        "at": present(F.col("at")).isNull() | plausible,
    }
    return lines.withColumn("rule", broken_rule(rules))


def of_run_date(lines: DataFrame, run_date: date) -> DataFrame:
    """The lines that name the run date, or name none, with ``run_date``."""
    named = F.col("day").isNull() | (F.col("day") == F.lit(run_date.isoformat()))
    return lines.where(named).withColumn(RUN_DATE, F.lit(run_date))


@dataclass(frozen=True)
class RequestCounts:
    """The lines of one ``day`` of a delivery, counted in one pass.

    ``rows`` are all lines but blank ones, which end as ``scored`` or ``rejected``; ``hashes`` is a sum over
    them that tells one delivery from another, whatever their order.
    """

    rows: int
    scored: int
    rejected: int
    hashes: int

    def described(self) -> dict[str, int]:
        """Rows at each step: read = scored + rejected."""
        return {"read": self.rows, "scored": self.scored, "rejected": self.rejected}


NOTHING = RequestCounts(0, 0, 0, 0)


def inspected(judged: DataFrame) -> dict[str | None, RequestCounts]:
    """What lies in lines with ``rule``, by ``day``."""
    return {row["day"]: _inspected(row) for row in _counted(judged, "day")}


def _counted(judged: DataFrame, *keys: str) -> list[Row]:
    to_score, blank = F.col("rule").isNull(), is_blank(F.col("raw"))
    hashes = F.sum(F.when(~blank, _hash_of_line().cast("decimal(38,0)"))).cast("string")
    rows = judged.groupBy(*keys).agg(
        F.count_if(to_score).alias("scored"),
        F.count_if(~to_score & ~blank).alias("rejected"),
        hashes.alias("hashes"),
    )
    return rows.collect()


def _inspected(row: Row) -> RequestCounts:
    return RequestCounts(
        row["scored"] + row["rejected"], row["scored"], row["rejected"], int(row["hashes"] or 0)
    )


def _hash_of_line() -> Column:
    """A hash of what is made of a line: its columns as they were parsed, and all of one that is rejected.

    The same text under another header is another request.
    """
    kept_whole = F.when(F.col("rule").isNotNull(), F.col("raw"))
    # A null leaves xxhash64 as it was: ('1', null, '2') and ('1', '2', null) would be the same.
    parts = (F.col("user_id"), F.col("movie_id"), F.col("at"), F.col("rule"), kept_whole)
    return F.xxhash64(*(F.coalesce(part, F.lit("")) for part in parts))


def inspected_together(
    deliveries: Sequence[DataFrame], judge: Callable[[DataFrame], DataFrame]
) -> list[dict[str | None, RequestCounts]]:
    """What lies in each of several deliveries, found in one job; ``judge`` adds the rule a line breaks."""
    if len(deliveries) == 1:
        return [inspected(judge(deliveries[0]))]
    if not deliveries:
        return []
    numbered = [lines.withColumn("delivery", F.lit(i)) for i, lines in enumerate(deliveries)]
    found: list[dict[str | None, RequestCounts]] = [{} for _ in deliveries]
    for row in _counted(judge(reduce(DataFrame.unionByName, numbered)), "delivery", "day"):
        found[row["delivery"]][row["day"]] = _inspected(row)
    return found


def readable(lines: DataFrame) -> DataFrame:
    """One row per request that breaks no rule, repeated ones too: user_id, movie_id, at, run_date.

    A request without a time is as of the run date's midnight (UTC).
    """
    midnight = F.col("run_date").cast("timestamp")
    return lines.where(F.col("rule").isNull()).select(
        whole_number(F.col("user_id")).alias("user_id"),
        whole_number(F.col("movie_id")).alias("movie_id"),
        F.coalesce(time_of(F.col("at")), midnight).alias("at"),
        "run_date",
    )


def unreadable(lines: DataFrame) -> DataFrame:
    """The requests that break a rule, whole, with its name; blank lines are none."""
    bad = lines.where(F.col("rule").isNotNull() & ~is_blank(F.col("raw")))
    return bad.select("run_date", "rule", "raw", "source_file")
