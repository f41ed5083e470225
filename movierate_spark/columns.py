"""Column functions that several stages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from pyspark.sql import Column
from pyspark.sql import functions as F

LABEL = "label"
DEMOGRAPHICS = ("gender", "age_group", "occupation")
AGE_GROUPS = {"under 18": 1, "18-24": 18, "25-34": 25, "35-44": 35, "45-49": 45, "50-55": 50, "56+": 56}
"""The first year of each age group, as in MovieLens 1M, where it is also the group's code."""
UNKNOWN = "unknown"
"""How an attribute that is null is shown."""


def quoted(name: str) -> str:
    """A column's name in backticks, as Spark would take what follows a dot in it for the name of a field."""
    return f"`{name.replace('`', '``')}`"


def decoded(line: Column) -> Column:
    """The text of a line: decoded as UTF-8 if it is valid, else as ISO-8859-1. Null stays null.

    Spark's text source keeps the bytes, and any bytes are valid ISO-8859-1. A leading byte order mark is
    removed.
    """
    text = F.coalesce(F.try_validate_utf8(line), F.decode(line.cast("binary"), "ISO-8859-1"))
    return F.when(F.startswith(text, F.lit("\ufeff")), F.substr(text, F.lit(2))).otherwise(text)


def is_blank(text: Column) -> Column:
    """True if the text has only spaces and tabs, or is empty; null stays null."""
    return F.length(F.translate(text, " \t", "")) == 0


def present(text: Column) -> Column:
    """The text without surrounding spaces; null if nothing is left."""
    trimmed = F.trim(text)
    return F.when(F.length(trimmed) > 0, trimmed)


def whole_number(text: Column) -> Column:
    """A long from digits, with or without surrounding spaces; null for other text or out of range."""
    trimmed = F.trim(text)
    return F.when(F.rlike(trimmed, F.lit(r"\A[0-9]+\z")), trimmed.try_cast("long"))


def one_decimal_number(text: Column) -> Column:
    """A double from digits with at most one decimal, with or without surrounding spaces; else null."""
    trimmed = F.trim(text)
    return F.when(F.rlike(trimmed, F.lit(r"\A[0-9]+(\.[0-9])?\z")), trimmed.try_cast("double"))


def is_liked(rating: Column, *, min_rating: float) -> Column:
    """True for at least ``min_rating`` stars; null stays null."""
    return rating >= F.lit(min_rating)


def any_of(values: Column, *, allowed: tuple[str, ...]) -> Column:
    """The value if it is one of ``allowed``, else null."""
    return F.when(values.isin(*allowed), values)


def lookup(code: Column, names: Mapping[str, str]) -> Column:
    """The name of a code, spaces around it cut; null for an unknown code."""
    table = F.create_map(*(F.lit(text) for text in chain.from_iterable(names.items())))
    return F.try_element_at(table, F.trim(code))


def genres_or_unknown() -> Column:
    """A movie's ``genres``; :data:`UNKNOWN` for a movie without any, or one that is not in its table."""
    genres = F.coalesce(F.col("genres"), F.array().cast("array<string>"))
    return F.when(F.size(genres) > 0, genres).otherwise(F.array(F.lit(UNKNOWN)))


def added_up(terms: Sequence[Column]) -> Column:
    """The sum of the terms, 0 if there are none; in pairs, as thousands in a row overflow the JVM's stack."""
    if len(terms) < 2:
        return terms[0] if terms else F.lit(0.0)
    half = len(terms) // 2
    return added_up(terms[:half]) + added_up(terms[half:])


def sigmoid(log_odds: Column) -> Column:
    """Probability from log odds; null stays null."""
    return F.lit(1.0) / (F.lit(1.0) + F.exp(-log_odds))
