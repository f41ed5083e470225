"""CSV files that a spreadsheet opens as data, never as formulas."""

from __future__ import annotations

import csv

import pandas as pd

FORMULA_STARTS = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    *"\uff1d\uff0b\uff0d\uff20",
)  # and their full-width forms


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV (UTF-8, RFC 4180); text that a spreadsheet would compute gets an apostrophe before it.

    After OWASP's page on CSV injection. All text is quoted, as a spreadsheet that expects another separator
    would part it. Missing values are empty, floats keep all their digits.
    """
    return table.map(_defused).to_csv(index=False, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)


def _defused(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
