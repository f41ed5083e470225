"""Times that a person types or sets: epoch seconds or ISO 8601, UTC where they name no zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from movierate_spark.errors import InputError

# How far ahead of this machine's clock a delivery's times may be.
CLOCK_TOLERANCE = timedelta(days=1)


def in_utc(time: datetime) -> datetime:
    """The time in UTC, which is also what one without a zone means."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def parse_time(text: str, option: str, *, now: datetime) -> datetime:
    """A time in UTC.

    Raises:
        InputError: it can't be read, or lies after ``now``.
    """
    cleaned = text.strip()
    try:
        if re.fullmatch(r"\d+", cleaned):
            time = datetime.fromtimestamp(int(cleaned), tz=UTC)
        else:
            time = in_utc(datetime.fromisoformat(cleaned))
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"{option} {text}: give epoch seconds or ISO 8601, as 2000-12-02T23:47:24Z"
        ) from error
    if time > now:
        raise InputError(f"{option} {text} is {time.isoformat()}, in the future: give a time that has passed")
    return time


def utc(second: int) -> datetime:
    """Epoch seconds as a time in UTC."""
    return datetime.fromtimestamp(second, tz=UTC)
