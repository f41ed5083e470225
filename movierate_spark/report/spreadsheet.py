"""CSV files that a spreadsheet reads as data, not as formulas."""

from __future__ import annotations

import csv

import pandas as pd
from pandas.api.types import is_numeric_dtype

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
    """The table as CSV (RFC 4180). Text that a spreadsheet would read as a formula gets a leading apostrophe.

    This follows OWASP's page on CSV injection. All text is quoted, as a spreadsheet with another separator
    would split it. Missing values are empty, and floats keep all digits.
    """
    texts = {str(name): table[name].map(_escaped) for name in table if not is_numeric_dtype(table[name])}
    return table.assign(**texts).to_csv(index=False, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)


def _escaped(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
