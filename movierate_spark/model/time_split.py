"""Cuts in time: a future that the model has not seen, and folds that never train on theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.errors import InputError

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class TimeSplit:
    """Cuts as epoch seconds: training rows lie before ``tune``, tuning rows before ``test``.

    ``folds`` holds the first second of each validation part; the last part ends at ``tune``.
    """

    folds: tuple[int, ...]
    tune: int
    test: int

    def fold_part(self, second: Column) -> Column:
        """The part a training row lies in: 0 is only trained on, i > 0 is validated in fold i."""
        return sum((F.when(second >= cut, 1).otherwise(0) for cut in self.folds), start=F.lit(0))


def split_by_time(rows: DataFrame, *, tune_fraction: float, test_fraction: float, folds: int) -> TimeSplit:
    """Cut rows with ``at`` in order of time; each cut falls between two seconds.

    A second that holds the row of the cut belongs whole to the later side.

    Raises:
        InputError: too few distinct seconds for every part to hold a row.
    """
    total = rows.count()
    test, tune = (1 - test_fraction), (1 - test_fraction - tune_fraction)
    shares = [tune * (i + 1) / (folds + 1) for i in range(folds)] + [tune, test]
    # Rounded before it is cut: 0.8 is a little more than 1 - 0.1 - 0.1.
    positions = [min(int(round(total * share, 6)), total - 1) for share in shares]
    cuts = row_seconds(rows, positions)
    first = rows.agg(F.min(F.unix_seconds("at"))).head()
    bounds = [first[0] if first else None, *cuts]
    if total < len(bounds) or len(set(bounds)) < len(bounds):
        raise InputError(
            f"{total} ratings in too few distinct seconds to part in time into {folds + 1} parts,"
            " tuning and test rows: bring more ratings, or lower train.folds"
        )
    return TimeSplit(tuple(cuts[:folds]), cuts[-2], cuts[-1])


def row_seconds(rows: DataFrame, positions: Sequence[int]) -> list[int]:
    """The epoch second of the rows at ``positions`` (from 0) in order of ``at``.

    Exact, and with a few thousand counts on the driver: first the day is found, then the second.
    """
    second = F.unix_seconds("at")
    days, before_day = _cumulative(rows, F.floor(second / SECONDS_PER_DAY))
    chosen = [int(np.searchsorted(before_day, position, side="right")) for position in positions]
    wanted = sorted({days[i] for i in chosen})
    in_days = rows.where(F.floor(second / SECONDS_PER_DAY).isin(wanted))
    seconds, before_second = _cumulative(in_days, second)
    day_of = np.array(seconds) // SECONDS_PER_DAY
    result = []
    for position, i in zip(positions, chosen, strict=True):
        rows_before_day = before_day[i - 1] if i else 0
        start = int(np.searchsorted(day_of, days[i]))
        rows_skipped = before_second[start - 1] if start else 0
        offset = position - rows_before_day + rows_skipped
        result.append(seconds[int(np.searchsorted(before_second, offset, side="right"))])
    return result


def _cumulative(rows: DataFrame, value: Column) -> tuple[list[int], list[int]]:
    """Distinct values in order, and how many rows lie at or before each."""
    counts = rows.groupBy(value.alias("value")).count().sort("value").collect()
    return [row["value"] for row in counts], list(accumulate(row["count"] for row in counts))
