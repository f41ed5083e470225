"""CSV files with a header: tables of the csv format, and requests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.config import InputSettings
from movierate_spark.errors import InputError
from movierate_spark.inputs.lines import COLUMNS, first_line, read_lines, with_columns


def read_csv(spark: SparkSession, table: str, path: Path, settings: InputSettings) -> DataFrame:
    """A table in the csv format; the settings name its columns and the separator.

    Raises:
        InputError: the header lacks a column, or names one twice.
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
    # A first line with numbers is no header but somebody's row, which is nobody's business.
    is_row = any(re.fullmatch(r"[\d.,:-]+", name) for name in header)
    return "no header" if is_row else f"the header {', '.join(header)}"


def check_each_named_once(path: Path, header: Sequence[str], *, argument: str | None = None) -> None:
    """Refuse a header that has a name twice, as nobody can tell which column is meant; '' is no name.

    Raises:
        InputError: it has.
    """
    repeated = [name for name, times in Counter(header).items() if name and times > 1]
    if repeated:
        names = ", ".join(repeated)
        raise InputError(
            f"{path}: its header names {names} more than once: leave one of each", argument=argument
        )


def read_header(path: Path, separator: str) -> list[str]:
    """The names in a file's first line; quotes around a name are cut.

    Raises:
        InputError: a gzip file that is damaged there already.
    """
    return [name.strip().strip('"') for name in first_line(path).split(separator)]


def by_header(
    lines: DataFrame,
    header: Sequence[str],
    names: Iterable[str],
    titles: Mapping[str, str],
    *,
    separator: str,
) -> DataFrame:
    """The named columns of all lines but the file's first, as :func:`with_columns` has them.

    ``titles`` are what the header calls them; a column that it lacks is null.
    """
    split = lines.where(~F.col("first")).withColumn("fields", csv_fields(F.col("raw"), separator))
    columns = {
        name: F.get("fields", F.lit(header.index(title))) for name, title in titles.items() if title in header
    }
    return with_columns(split, names, columns, complete=F.size("fields") == len(header))


def csv_fields(line: Column, separator: str) -> Column:
    """The fields of a CSV line as an array; ``""`` inside quotes is a quote.

    Cut at the quotes, every second piece lies inside them: separators there are hidden behind a
    character that Unicode keeps out of text, and the rest is a plain split. Linear in the line's
    length, which a regular expression for quoted fields is not.
    """
    hidden = "\uffff"
    pattern = re.escape(separator)
    pieces = F.transform(
        F.split(line, '"', -1),
        lambda piece, i: F.when(i % 2 == 1, F.replace(piece, F.lit(separator), F.lit(hidden))).otherwise(
            piece
        ),
    )
    quoted = F.transform(
        F.split(F.array_join(pieces, '"'), pattern, -1),
        lambda field: _unquoted(F.replace(field, F.lit(hidden), F.lit(separator))),
    )
    return F.when(F.contains(line, F.lit('"')), quoted).otherwise(F.split(line, pattern, -1))


def _unquoted(field: Column) -> Column:
    inside = F.regexp_extract(field, r'(?s)\A *"(.*)" *\z', 1)
    is_quoted = F.rlike(field, F.lit(r'(?s)\A *".*" *\z'))
    return F.when(is_quoted, F.replace(inside, F.lit('""'), F.lit('"'))).otherwise(field)
