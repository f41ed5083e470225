"""The rows that a model is trained on: which ratings they are, and where they are split by time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.config import Settings
from movierate_spark.errors import InputError
from movierate_spark.features.history import with_levels
from movierate_spark.features.learning import learn
from movierate_spark.features.rows import complete_rows, labelled, of_sampled_users, rows_by_user
from movierate_spark.features.task_history import RESIDUAL_UNITS
from movierate_spark.features.taste_tables import TasteTables
from movierate_spark.model.logistic_regression import laid_out
from movierate_spark.model.time_split import TimeSplit, split_by_time
from movierate_spark.progress import Progress
from movierate_spark.session import persisted
from movierate_spark.storage.lake import Lake
from movierate_spark.times import utc


@dataclass(frozen=True)
class TrainingLog:
    """The number of ratings to train on, the times (UTC) of the first and the last one, and their end.

    All ratings are before the end, which may be much later than the last one.
    """

    ratings: int
    first: datetime
    last: datetime
    end: datetime


def training_log(lake: Lake, until: datetime | None) -> TrainingLog:
    """What a lake's ratings are, of which all are before ``until`` (None: the second after the last one).

    Raises:
        InputError: there are none.
    """
    second = F.unix_seconds("rated_at")
    row = lake.ratings.agg(
        F.count("*").alias("ratings"), F.min(second).alias("first"), F.max(second).alias("last")
    ).head()
    if row is None or not row["ratings"]:
        before = f" before {until.isoformat()}" if until else ""
        raise InputError(f"{lake.path}: no ratings{before} to train on")
    return TrainingLog(row["ratings"], utc(row["first"]), utc(row["last"]), until or utc(row["last"] + 1))


@dataclass(frozen=True)
class TrainingRows:
    """The labelled feature rows of all ratings, and where they are split.

    ``by_user`` are the rows of :func:`movierate_spark.features.rows.rows_by_user`, ``movies`` the lake's, and
    ``tables`` those of the taste columns up to the end of training (None for a model without them). Of
    ``ratings`` in all, those of a ``user_fraction`` of all users are rows; everybody's are in their history.
    """

    by_user: DataFrame
    movies: DataFrame
    settings: Settings
    split: TimeSplit
    tables: TasteTables | None
    ratings: int

    @property
    def user_fraction(self) -> float:
        """1 if there are at most ``train.max_rows`` ratings."""
        return min(1.0, self.settings.train.max_rows / self.ratings)

    def tables_before_tune(self) -> TasteTables | None:
        """What the measured model knows: nothing is learnt from the ratings that it is tuned or tested on."""
        return None if self.tables is None else self.tables.until(self.split.tune)

    def measured(self) -> DataFrame:
        """The rows as the measured model sees them."""
        return self._rows(self.tables_before_tune())

    def every(self) -> DataFrame:
        """The rows as the model that is fitted on all of them sees them."""
        return self._rows(self.tables)

    def _rows(self, tables: TasteTables | None) -> DataFrame:
        by_user = of_sampled_users(self.by_user, self.user_fraction)
        min_rating = self.settings.label.min_rating
        rows = complete_rows(
            by_user, self.movies, self.settings.features, min_rating=min_rating, tables=tables
        )
        labelled_rows = labelled(rows, min_rating=min_rating)
        expected = round(self.ratings * self.user_fraction)
        return laid_out(labelled_rows, partitions=self.settings.train.partitions, expected=expected)


@contextmanager
def training_rows(
    lake: Lake, settings: Settings, progress: Progress, *, log: TrainingLog
) -> Iterator[TrainingRows]:
    """The rows of a lake whose ratings are ``log``; within the block, their history is kept.

    Raises:
        InputError: the ratings are of one class only, or too few to split by time.
    """
    min_rating = settings.label.min_rating
    with persisted(rows_by_user(lake, settings.features, min_rating=min_rating)) as by_user:
        ratings = with_levels(by_user, settings.features)
        with persisted(labelled(ratings, min_rating=min_rating)) as ratings:
            with progress.step("history of every rating"):
                split = _split(ratings, settings)
            tables = None
            if settings.features.uses_taste:
                with progress.step("neighbours and factors of every movie"):
                    # Not the end, which may be later: requests before it would miss the last block.
                    borders = [split.tune, int(log.last.timestamp()) + 1]
                    tables = learn(
                        ratings, lake.movies, settings.features, residual_units=RESIDUAL_UNITS, forced=borders
                    )
        yield TrainingRows(by_user, lake.movies, settings, split, tables, log.ratings)


def _split(rows: DataFrame, settings: Settings) -> TimeSplit:
    check_classes(rows, settings.label.min_rating)
    options = settings.train
    return split_by_time(
        rows,
        tune_fraction=options.tune_fraction,
        test_fraction=options.test_fraction,
        folds=options.folds,
    )


def check_classes(rows: DataFrame, min_rating: float) -> int:
    """The number of rows, which must be of both classes.

    Raises:
        InputError: they are of one, or there are none.
    """
    counted = rows.agg(F.sum("label").alias("liked"), F.count("label").alias("all")).head()
    liked, total = (int(counted["liked"] or 0), int(counted["all"])) if counted else (0, 0)
    if liked in (0, total):
        raise InputError(
            f"{liked} of {total} ratings reach label.min_rating {min_rating:g}: a model needs liked and"
            " other ratings; check the scale, label.min_rating and train.max_rows"
        )
    return total
