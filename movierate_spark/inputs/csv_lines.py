"""CSV files with a header: tables in the csv format, and requests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import InputSettings
from movierate_spark.errors import InputError
from movierate_spark.inputs.lines import COLUMNS, first_line, read_lines, with_columns
from movierate_spark.storage.locations import Location

PLACEHOLDER = "\uffff"
"""Not a character of text."""


def read_csv(spark: SparkSession, table: str, path: Location, settings: InputSettings) -> DataFrame:
    """A table in the csv format; the settings name its columns and the separator.

    Raises:
        InputError: the header lacks a column or repeats a name, or the gzip file is damaged.
    """
    header = read_header(path, settings.separator)
    titles: dict[str, str] = dict(getattr(settings.columns, table))
    if missing := [title for title in titles.values() if title not in header]:
        raise InputError(
            f"{path}: missing column(s) {', '.join(missing)}; its first line is {_described(header)}."
            f" Name them in conf under [input.columns.{table}], or the separator under [input]"
        )
    check_each_named_once(path, header)
    lines = read_lines(spark, path)
    return by_header(lines, header, COLUMNS[table], titles, separator=settings.separator)


def _described(header: Sequence[str]) -> str:
    # A first line with numbers is a data row, not a header: it must not appear in a message.
    is_row = any(re.fullmatch(r"[\d.,:-]+", name) for name in header)
    return "no header" if is_row else f"the header {', '.join(header)}"


def check_each_named_once(path: Location, header: Sequence[str], *, argument: str | None = None) -> None:
    """Refuse a header that repeats a name, as the column would be ambiguous; columns may lack a name.

    Raises:
        InputError: a name is repeated; ``argument`` is the parameter that named the file.
    """
    repeated = [name for name, times in Counter(header).items() if name and times > 1]
    if repeated:
        names = ", ".join(repeated)
        raise InputError(
            f"{path}: its header names {names} more than once: leave one of each", argument=argument
        )


def read_header(path: Location, separator: str) -> list[str]:
    """The names in a file's first line, without surrounding spaces and quotes.

    A separator inside quotes belongs to the name, as in :func:`csv_fields`.

    Raises:
        InputError: the gzip file is damaged in its first line.
    """
    pieces = first_line(path).split('"')
    pieces[1::2] = [piece.replace(separator, PLACEHOLDER) for piece in pieces[1::2]]
    names = '"'.join(pieces).split(separator)
    return [name.replace(PLACEHOLDER, separator).strip().strip('"') for name in names]


def by_header(
    lines: DataFrame,
    header: Sequence[str],
    names: Iterable[str],
    titles: Mapping[str, str],
    *,
    separator: str,
) -> DataFrame:
    """The columns ``names`` of all lines except the header, as in :func:`with_columns`.

    ``titles`` maps them to their names in the header; a column that is not in the header is null.
    """
    split = lines.where(~F.col("first")).withColumn("fields", csv_fields(F.col("raw"), separator))
    columns = {
        name: F.get("fields", F.lit(header.index(title))) for name, title in titles.items() if title in header
    }
    return with_columns(split, names, columns, complete=F.size("fields") == len(header))


def csv_fields(line: Column, separator: str) -> Column:
    """The fields of a CSV line as an array; ``""`` inside quotes is a quote.

    The line is split at its quotes, so that every second piece is inside quotes. Separators in these pieces
    are replaced by :data:`PLACEHOLDER` until the line has been split at the others.
    The time is linear in the line's length; with a regular expression for quoted fields it would not be.
    """
    pattern = re.escape(separator)
    pieces = F.transform(
        F.split(line, '"', -1),
        lambda piece, i: F.when(i % 2 == 1, F.replace(piece, F.lit(separator), F.lit(PLACEHOLDER))).otherwise(
            piece
        ),
    )
    quoted = F.transform(
        F.split(F.array_join(pieces, '"'), pattern, -1),
        lambda field: _unquoted(F.replace(field, F.lit(PLACEHOLDER), F.lit(separator))),
    )
    return F.when(F.contains(line, F.lit('"')), quoted).otherwise(F.split(line, pattern, -1))


def _unquoted(field: Column) -> Column:
    inside = F.regexp_extract(field, r'(?s)\A *"(.*)" *\z', 1)
    is_quoted = F.rlike(field, F.lit(r'(?s)\A *".*" *\z'))
    return F.when(is_quoted, F.replace(inside, F.lit('""'), F.lit('"'))).otherwise(field)
