"""Splits by time: training, tuning and test rows, and rolling-origin folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.errors import InputError

SECONDS_PER_DAY = 86_400
PARTS = ("training", "tuning", "test")


@dataclass(frozen=True)
class TimeSplit:
    """Split points in epoch seconds: training rows are before ``tune``, tuning rows before ``test``.

    ``folds`` are the first seconds of the validation parts; the last part ends before ``tune``.
    """

    folds: tuple[int, ...]
    tune: int
    test: int

    def part(self, second: Column) -> Column:
        """One of :data:`PARTS`."""
        training, tuning, test = PARTS
        return F.when(second < self.tune, training).when(second < self.test, tuning).otherwise(test)

    def fold_part(self, second: Column) -> Column:
        """The part of a training row: part 0 is only trained on, part i > 0 is validated in fold i."""
        return sum((F.when(second >= cut, 1).otherwise(0) for cut in self.folds), start=F.lit(0))


def split_by_time(rows: DataFrame, *, tune_fraction: float, test_fraction: float, folds: int) -> TimeSplit:
    """Split rows by ``at``; rows of the same second always stay together.

    The fractions are of all rows. The second of the row at a split point belongs to the later part.

    Raises:
        InputError: there are too few distinct seconds for every part to have a row.
    """
    total = rows.count()
    test, tune = (1 - test_fraction), (1 - test_fraction - tune_fraction)
    shares = [tune * (i + 1) / (folds + 1) for i in range(folds)] + [tune, test]
    # Round before truncating: 1 - 0.1 - 0.2, for example, is not exactly 0.7.
    positions = [min(int(round(total * share, 6)), total - 1) for share in shares]
    cuts = row_seconds(rows, positions)
    first = rows.agg(F.min(F.unix_seconds("at"))).head()
    bounds = [first[0] if first else None, *cuts]
    if total < len(bounds) or len(set(bounds)) < len(bounds):
        raise InputError(
            f"{total} ratings in too few distinct seconds to split by time into {folds + 1} parts,"
            " tuning and test rows: use more ratings, or lower train.folds"
        )
    return TimeSplit(tuple(cuts[:folds]), cuts[-2], cuts[-1])


def check_sample(rows: DataFrame, split: TimeSplit) -> None:
    """Refuse a sample of users that lacks a part of the split or of the folds; ``rows`` are the sample's.

    Raises:
        InputError: a part has none.
    """
    second = F.unix_seconds("at")
    parts = rows.select(split.part(second).alias("part"), split.fold_part(second).alias("fold_part"))
    present = {tuple(row) for row in parts.distinct().collect()}
    training, *others = PARTS
    needed = [(training, number) for number in range(len(split.folds) + 1)]
    for part, number in [*needed, *((other, len(split.folds)) for other in others)]:
        if (part, number) not in present:
            of_folds = f" of part {number} of the folds" if part == training else ""
            raise InputError(f"the sample of users has no {part} rows{of_folds}: raise train.max_rows")


def row_seconds(rows: DataFrame, positions: Sequence[int]) -> list[int]:
    """The epoch seconds of the rows at ``positions`` (from 0) in order of ``at``.

    The result is exact. The driver gets a few thousand counts: it finds the day first, then the second.
    """
    second = F.unix_seconds("at")
    days, before_day = _cumulative(rows, F.floor(second / SECONDS_PER_DAY))
    day_indices = [int(np.searchsorted(before_day, position, side="right")) for position in positions]
    days_needed = sorted({days[i] for i in day_indices})
    in_days = rows.where(F.floor(second / SECONDS_PER_DAY).isin(days_needed))
    seconds, before_second = _cumulative(in_days, second)
    day_of = np.array(seconds) // SECONDS_PER_DAY
    result = []
    for position, i in zip(positions, day_indices, strict=True):
        rows_before_day = before_day[i - 1] if i else 0
        start = int(np.searchsorted(day_of, days[i]))
        rows_skipped = before_second[start - 1] if start else 0
        offset = position - rows_before_day + rows_skipped
        result.append(seconds[int(np.searchsorted(before_second, offset, side="right"))])
    return result


def _cumulative(rows: DataFrame, value: Column) -> tuple[list[int], list[int]]:
    """The distinct values in order, and the number of rows at or before each."""
    counts = rows.groupBy(value.alias("value")).count().sort("value").collect()
    return [row["value"] for row in counts], list(accumulate(row["count"] for row in counts))
