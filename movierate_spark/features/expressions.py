"""Column functions behind the features."""

from __future__ import annotations

import math

from pyspark.sql import Column
from pyspark.sql import functions as F


def hour(at: Column) -> Column:
    """Hour of the day in UTC with its minutes as a fraction, 0 to 24."""
    return F.hour(at) + F.minute(at) / F.lit(60.0)


def weekday(at: Column) -> Column:
    """Day of the week in UTC: 0 is Monday, 6 is Sunday."""
    return F.weekday(at)


def month(at: Column) -> Column:
    """Month of the year in UTC: 0 is January, 11 is December."""
    return F.month(at) - 1


CYCLES = {"hour": (hour, 24), "weekday": (weekday, 7), "month": (month, 12)}


def cycle(value: Column, *, period: float) -> tuple[Column, Column]:
    """Sine and cosine of a cyclic value, so that the last hour is next to the first."""
    angle = value * F.lit(2 * math.pi / period)
    return F.sin(angle), F.cos(angle)


def decade(year: Column) -> Column:
    """The decade of a year as text, ``1990s``; null stays null."""
    return F.concat((F.floor(year / 10) * 10).cast("string"), F.lit("s"))


def film_age(at: Column, year: Column) -> Column:
    """Whole years from release to rating; 0 if a film is rated before its year; null if the year is null."""
    return F.greatest(F.year(at) - year, F.lit(0))


def log_odds(probability: Column) -> Column:
    """The natural log of p / (1 - p); the probability must be strictly between 0 and 1."""
    return F.log(probability / (F.lit(1.0) - probability))
