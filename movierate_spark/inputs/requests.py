"""Requests to score: read as lines, checked by named rules, and counted so that none is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import is_blank, present, whole_number
from movierate_spark.errors import InputError
from movierate_spark.inputs.csv_lines import by_header, check_each_named_once, read_header
from movierate_spark.inputs.lines import read_lines
from movierate_spark.inputs.parquet_records import is_parquet, parquet_lines, parquet_records
from movierate_spark.inputs.rules import broken_rule, has_all_fields, is_id
from movierate_spark.storage.digests import visible
from movierate_spark.storage.files import file_entry, files_below
from movierate_spark.storage.locations import FileEntry, Location
from movierate_spark.storage.tables import is_delta_table

ISO_8601 = r"\A\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?\z"
REQUIRED = ("user_id", "movie_id")
RUN_DATE = "run_date"
OPTIONAL = ("at", RUN_DATE)
COLUMNS = (*REQUIRED, *OPTIONAL)
SAME_NAMES = {name: name for name in COLUMNS}


@dataclass(frozen=True)
class Requests:
    """A delivery of requests; it ``is_dated`` if it has a column run_date.

    ``lines`` has one row per line: ``raw``, ``source_file``, ``complete`` and user_id, movie_id, at, day as
    text. ``day`` is the value of run_date, '' if a row has none; it is null in a delivery that is not dated.
    ``stamp`` identifies the files as they were before they were read.
    """

    path: Location
    lines: DataFrame
    is_dated: bool
    stamp: object

    def is_as_it_was(self) -> bool:
        """Whether the files are the same as before they were read."""
        return _stamp_of(self.path) == self.stamp


def _stamp_of(path: Location) -> object:
    """The name, size and tag of a file, or of each file in a folder; None where there is nothing.

    None for a Delta table, too: its files are listed once, and they never change.
    """
    file = file_entry(path)
    if file is not None or is_delta_table(path):
        return file
    entries = {entry.name: entry for entry in files_below(path)}
    return [entries[name] for name in visible(entries)] or None


def read_requests(spark: SparkSession, path: Location, *, separator: str = ",") -> Requests:
    """The requests in a CSV file, a Parquet file, a folder of Parquet files or a Delta table.

    Raises:
        InputError: there is no such file, or Spark ignores its name; it is empty (0 bytes) or damaged in its
            first line; a column is missing, repeated or has capital letters; or Parquet records can't be
            read: see :func:`movierate_spark.inputs.parquet_records.parquet_records`.
    """
    stamp = _stamp_of(path)
    if stamp is None and not path.is_dir():
        raise InputError(f"{path}: no such file", argument="requests")
    if not path.is_dir() and not visible([path.name]):
        raise InputError(
            f"{path}: Spark ignores files whose names begin with _ or . (or end with ._COPYING_): rename it",
            argument="requests",
        )
    if is_parquet(path):
        records = parquet_records(spark, path)
        lines = parquet_lines(path, records, SAME_NAMES, set(OPTIONAL))
        _check_case(path, records.columns)
        is_dated = RUN_DATE in records.columns
        return Requests(path, _with_day(lines, is_dated=is_dated), is_dated, stamp)
    if not isinstance(stamp, FileEntry):
        raise InputError(
            f"{path}: a folder without Parquet files; name a CSV file or a Parquet folder",
            argument="requests",
        )
    if not stamp.size:
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


def _check_case(path: Location, header: Sequence[str]) -> None:
    """Refuse names such as ``At`` or ``Run_Date``, which would be ignored like any other column."""
    if odd := [name for name in header if name.lower() in COLUMNS and name not in COLUMNS]:
        raise InputError(
            f"{path}: column {odd[0]}: write {odd[0].lower()} in small letters", argument="requests"
        )


def _with_day(lines: DataFrame, *, is_dated: bool) -> DataFrame:
    """Add ``day``: the text of a run date, "" for other text, null if the delivery has no run dates."""
    text = F.trim(RUN_DATE)
    is_like_a_day = F.coalesce(text.rlike(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\z"), F.lit(False))
    day = F.when(is_like_a_day, text).otherwise("") if is_dated else F.lit(None).cast("string")
    return lines.withColumn("day", day).drop(RUN_DATE)


def time_of(text: Column) -> Column:
    """A timestamp from epoch seconds or ISO 8601 (UTC if it has no time zone); else null."""
    trimmed = F.trim(text)
    # Eleven digits reach the year 5138; much longer numbers would overflow the timestamp.
    seconds = F.when(F.length(trimmed) <= 11, whole_number(trimmed))
    from_text = F.when(trimmed.rlike(ISO_8601), trimmed.try_cast("timestamp"))
    return F.coalesce(F.timestamp_seconds(seconds), from_text)


def with_rule(lines: DataFrame, *, earliest: datetime, latest: datetime) -> DataFrame:
    """Add ``rule``: the first rule that a request breaks, ``blank``, or null if it can be scored.

    A time must be between ``earliest`` and ``latest``, both included. A request may have no time.
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
    """The lines of a run date, with ``run_date``: all lines if the delivery is not dated."""
    is_of_date = F.col("day").isNull() | (F.col("day") == F.lit(run_date.isoformat()))
    return lines.where(is_of_date).withColumn(RUN_DATE, F.lit(run_date))


@dataclass(frozen=True)
class RequestCounts:
    """The counts of the lines of one ``day`` of a delivery.

    ``rows`` are all lines except blank ones: ``scored + rejected``. ``hashes`` is the sum of their hashes,
    which does not depend on their order.
    """

    rows: int
    scored: int
    rejected: int
    hashes: int

    def described(self) -> dict[str, int]:
        """Rows at each step: read = scored + rejected."""
        return {"read": self.rows, "scored": self.scored, "rejected": self.rejected}


NOTHING = RequestCounts(0, 0, 0, 0)


def counts_by_day(judged: DataFrame) -> dict[str | None, RequestCounts]:
    """The counts of lines with ``rule``, by ``day``; null if the delivery is not dated."""
    return {row["day"]: _counts_in(row) for row in _counted(judged, "day")}


def _counted(judged: DataFrame, *keys: str) -> list[Row]:
    to_score, blank = F.col("rule").isNull(), is_blank(F.col("raw"))
    hashes = F.sum(F.when(~blank, _hash_of_line().cast("decimal(38,0)"))).cast("string")
    rows = judged.groupBy(*keys).agg(
        F.count_if(to_score).alias("scored"),
        F.count_if(~to_score & ~blank).alias("rejected"),
        hashes.alias("hashes"),
    )
    return rows.collect()


def _counts_in(row: Row) -> RequestCounts:
    return RequestCounts(
        row["scored"] + row["rejected"], row["scored"], row["rejected"], int(row["hashes"] or 0)
    )


def _hash_of_line() -> Column:
    """A hash of a line's columns, with ``raw`` if the line is rejected.

    The columns are hashed as they were parsed, as the same text under another header is another request.
    """
    rejected_line = F.when(F.col("rule").isNotNull(), F.col("raw"))
    # xxhash64 ignores nulls: ('1', null, '2') and ('1', '2', null) would have the same hash.
    parts = (F.col("user_id"), F.col("movie_id"), F.col("at"), F.col("rule"), rejected_line)
    return F.xxhash64(*(F.coalesce(part, F.lit("")) for part in parts))


def counts_of_deliveries(
    deliveries: Sequence[DataFrame], judge: Callable[[DataFrame], DataFrame]
) -> list[dict[str | None, RequestCounts]]:
    """The counts of each delivery, by one Spark job; ``judge`` adds the rule that a line breaks."""
    if len(deliveries) == 1:
        return [counts_by_day(judge(deliveries[0]))]
    if not deliveries:
        return []
    numbered = [lines.withColumn("delivery", F.lit(i)) for i, lines in enumerate(deliveries)]
    counts: list[dict[str | None, RequestCounts]] = [{} for _ in deliveries]
    for row in _counted(judge(reduce(DataFrame.unionByName, numbered)), "delivery", "day"):
        counts[row["delivery"]][row["day"]] = _counts_in(row)
    return counts


def readable(lines: DataFrame) -> DataFrame:
    """One row per request that breaks no rule, also for repeated requests: user_id, movie_id, at, run_date.

    A request without a time is scored as of midnight (UTC) at the beginning of the run date.
    """
    midnight = F.col("run_date").cast("timestamp")
    return lines.where(F.col("rule").isNull()).select(
        whole_number(F.col("user_id")).alias("user_id"),
        whole_number(F.col("movie_id")).alias("movie_id"),
        F.coalesce(time_of(F.col("at")), midnight).alias("at"),
        "run_date",
    )


def unreadable(lines: DataFrame) -> DataFrame:
    """The requests that break a rule, with the rule's name and the raw line; without blank lines."""
    bad = lines.where(F.col("rule").isNotNull() & ~is_blank(F.col("raw")))
    return bad.select("run_date", "rule", "raw", "source_file")
