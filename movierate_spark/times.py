"""Times in options and settings: epoch seconds or ISO 8601, in UTC if they have no time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from movierate_spark.errors import InputError

CLOCK_TOLERANCE = timedelta(days=1)
"""How far a delivery's times may be ahead of this machine's clock."""


def in_utc(time: datetime) -> datetime:
    """The time converted to UTC; a time without a time zone is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def parse_time(text: str, argument: str, *, now: datetime) -> datetime:
    """The time (UTC) that a text stands for; an error names it as ``argument``.

    Raises:
        InputError: the text is no time, or the time is after ``now``.
    """
    cleaned = text.strip()
    try:
        if re.fullmatch(r"\d+", cleaned):
            time = datetime.fromtimestamp(int(cleaned), tz=UTC)
        else:
            time = in_utc(datetime.fromisoformat(cleaned))
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"{text}: give epoch seconds or ISO 8601, such as 2000-12-02T23:47:24Z",
            argument=argument,
        ) from error
    if time > now:
        raise InputError(
            f"{text} is {time.isoformat()}, in the future: give a time that has passed", argument=argument
        )
    return time


def utc(second: int) -> datetime:
    """The time (UTC) of epoch seconds."""
    return datetime.fromtimestamp(second, tz=UTC)
