"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from movierate_spark.errors import InputError
from movierate_spark.times import parse_time

TABLES = ("ratings", "users", "movies")


class Format(StrEnum):
    """Formats of the three files."""

    AUTO = "auto"
    ML_1M = "ml-1m"
    ML_100K = "ml-100k"
    CSV = "csv"
    PARQUET = "parquet"


ConfigOption = Annotated[
    list[Path] | None,
    typer.Option("--config", metavar="FILE.toml", help="Settings to override; repeatable, later files win."),
]
LakeOption = Annotated[str, typer.Option("--lake", metavar="DIR", help="Folder of the lake.")]
ModelOption = Annotated[str, typer.Option("--model", metavar="DIR", help="Folder of the model's bundle.")]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="T", help="Only ratings before T: epoch seconds or ISO 8601 (UTC)."),
]


def row_counts(texts: Iterable[str]) -> dict[str, int]:
    """The expected number of rows of each table, from texts such as ``ratings=1000209``."""
    counts = {}
    for text in texts:
        table, _, number = text.rpartition("=")
        if table not in TABLES or not number.isascii() or not number.isdigit():
            raise InputError(
                f"{text}: give it as ratings=1000209 ({', '.join(TABLES)})", argument="expect_rows"
            )
        counts[table] = int(number)
    return counts


def time_of(text: str | None, argument: str) -> datetime | None:
    """The time (UTC) that a text stands for; None if there is no text. It must have passed."""
    return None if text is None else parse_time(text, argument, now=datetime.now(UTC))


def days_of(run_date: str | None, first: str | None, last: str | None) -> list[date]:
    """The run date, or all days from the first to the last."""
    if run_date is not None and first is None and last is None:
        return [day_of(run_date, "run_date")]
    if run_date is not None or first is None or last is None:
        raise InputError("name a day with --run-date, or several with --from and --to")
    begin, end = day_of(first, "from"), day_of(last, "to")
    if end < begin:
        raise InputError(f"{last} is before --from {first}", argument="to")
    return [begin + timedelta(days=i) for i in range((end - begin).days + 1)]


def day_of(text: str, argument: str) -> date:
    """The day that a text (YYYY-MM-DD) stands for."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text}: give a day as YYYY-MM-DD", argument=argument) from error
