"""Custom stages for Spark ML pipelines, with params and persistence.

Each keeps the number of rows. They use native expressions, no Python functions on rows.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyspark.ml import Estimator, Model, Transformer
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasInputCols, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import UNKNOWN
from movierate_spark.features.expressions import CYCLES, cycle, decade, film_age, log_odds

OTHER = "other"


def _param(name: str, doc: str, convert: Any) -> Param[Any]:
    return Param(Params._dummy(), name, doc, typeConverter=convert)


class _Stage(DefaultParamsReadable, DefaultParamsWritable):  # type: ignore[type-arg]
    """A stage whose params are given by keyword, and saved and loaded with it."""

    def _set_given(self: Any, **params: Any) -> None:
        self._set(**{name: value for name, value in params.items() if value is not None})


class CalendarCycles(Transformer, HasInputCol, _Stage):
    """Add ``<cycle>_sin`` and ``<cycle>_cos`` (doubles) of a timestamp (UTC), for each of ``cycles``.

    The cycles are ``hour``, ``weekday`` and ``month``. A null timestamp gives nulls.
    """

    cycles = _param("cycles", "names of the cycles", TypeConverters.toListString)

    def __init__(self, *, inputCol: str | None = None, cycles: list[str] | None = None) -> None:
        super().__init__()
        self._set_given(inputCol=inputCol, cycles=cycles)

    def output_columns(self) -> list[str]:
        """The columns that the stage adds."""
        return [f"{name}_{part}" for name in self.getOrDefault(self.cycles) for part in ("sin", "cos")]

    def _transform(self, dataset: DataFrame) -> DataFrame:
        at = F.col(self.getInputCol())
        columns = {}
        for name in self.getOrDefault(self.cycles):
            value, period = CYCLES[name]
            columns[f"{name}_sin"], columns[f"{name}_cos"] = cycle(value(at), period=period)
        return dataset.withColumns(columns)


class ReleaseFeatures(Transformer, HasInputCols, _Stage):
    """Add features of the release year; ``inputCols`` are the row's time and the year.

    ``decade`` (text; null if the year is null), ``release_year`` (decades since 2000) and
    ``release_year_squared``, ``film_age`` (log of 1 + years since release). The numbers are 0 if the year is
    null.
    """

    OUTPUT = ("release_year", "release_year_squared", "film_age")

    def __init__(self, *, inputCols: list[str] | None = None) -> None:
        super().__init__()
        self._set_given(inputCols=inputCols)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        at, year = (F.col(name) for name in self.getInputCols())
        decades = (year - 2000) / 10
        numbers = (decades, decades * decades, F.log1p(film_age(at, year)))
        filled = {
            name: F.coalesce(value, F.lit(0.0)) for name, value in zip(self.OUTPUT, numbers, strict=True)
        }
        return dataset.withColumns({"decade": decade(year), **filled})


class HistoryFeatures(Transformer, _Stage):
    """Add the as-of history as terms for a linear model of log odds, all close to 0.

    Counts enter as logs and squared logs, means as differences to the prior in stars, like rates as
    differences to the prior's log odds. Some are also multiplied by the log of the count, as a mean of many
    ratings is more reliable.
    """

    AS_THEY_ARE = (
        "user_residual",
        "user_recent_5",
        "user_recent_20",
        "user_recent_50",
        "user_genre",
        "user_decade",
        "gender_movie",
        "age_group_movie",
        "occupation_movie",
    )
    BY_COUNT = ("user_log_odds", "user_residual", "movie_mean_difference")
    BOTH_SIDES = ("new", "log_count", "log_count_squared", "mean_difference", "log_odds")
    OUTPUT = (
        *map("user_{}".format, BOTH_SIDES),
        *map("movie_{}".format, BOTH_SIDES),
        *AS_THEY_ARE,
        *map("{}_x_log_count".format, BY_COUNT),
    )

    def _transform(self, dataset: DataFrame) -> DataFrame:
        columns: dict[str, Column] = {}
        prior_odds = log_odds(F.col("prior_like_rate"))
        for side in ("user", "movie"):
            count = F.log1p(f"{side}_count")
            columns |= {
                f"{side}_new": (F.col(f"{side}_count") == 0).cast("double"),
                f"{side}_log_count": count,
                f"{side}_log_count_squared": count * count,
                f"{side}_mean_difference": F.col(f"{side}_mean") - F.col("prior_mean"),
                f"{side}_log_odds": log_odds(F.col(f"{side}_like_rate")) - prior_odds,
            }
        for name in self.BY_COUNT:
            value = columns.get(name, F.col(name))
            columns[f"{name}_x_log_count"] = value * columns[f"{name.split('_')[0]}_log_count"]
        return dataset.withColumns(columns)


class TasteFeatures(Transformer, _Stage):
    """Add the taste columns as terms for a linear model of log odds.

    ``taste_expected`` is how far the rating is expected to lie above the mean of all ratings, from the user's
    level, the movie's mean and the factors, in units of the spread of the user's and the movie's ratings.
    """

    OUTPUT = ("user_neighbours", "user_factors", "taste_expected")

    def _transform(self, dataset: DataFrame) -> DataFrame:
        above = F.col("user_residual") + F.col("movie_mean") - F.col("prior_mean") + F.col("user_factors")
        spread = F.col("user_spread") * F.col("movie_spread")
        return dataset.withColumn("taste_expected", above / spread)


class _LearnsFrequent(Estimator[Any], HasInputCol, HasOutputCol, _Stage):
    """An estimator that learns the values which enough distinct values of ``unitCol`` (users, say) have."""

    unitCol = _param("unitCol", "column whose distinct values are counted", TypeConverters.toString)
    minUnits = _param("minUnits", "fewest distinct units of a value that is learnt", TypeConverters.toInt)

    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        unitCol: str | None = None,
        minUnits: int | None = None,
    ) -> None:
        super().__init__()
        self._set_given(inputCol=inputCol, outputCol=outputCol, unitCol=unitCol, minUnits=minUnits)

    def _frequent(self, dataset: DataFrame, value: Column) -> list[str]:
        units = dataset.select(self.getOrDefault(self.unitCol), value.alias("value")).distinct()
        counts = units.where(F.col("value").isNotNull()).groupBy("value").count()
        frequent = counts.where(F.col("count") >= self.getOrDefault(self.minUnits))
        return sorted(row["value"] for row in frequent.collect())


class _KeepsFrequent(Model, HasInputCol, HasOutputCol, _Stage):
    """A model whose learnt values are a param, so that they are saved with it."""

    values = _param("values", "the learnt values, in order", TypeConverters.toListString)

    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        values: list[str] | None = None,
    ) -> None:
        super().__init__()
        self._set_given(inputCol=inputCol, outputCol=outputCol, values=values)


class RareLevels(_LearnsFrequent):
    """Learn the values of a text column that enough distinct units have; the model pools the others."""

    def _fit(self, dataset: DataFrame) -> RareLevelsModel:
        values = self._frequent(dataset, F.col(self.getInputCol()))
        return RareLevelsModel(inputCol=self.getInputCol(), outputCol=self.getOutputCol(), values=values)


class RareLevelsModel(_KeepsFrequent):
    """Replace values that were not learnt by ``other``; null stays null."""

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, output = self.getInputCol(), self.getOutputCol()
        # A join, as literals of a query (zip codes, say) would appear in Spark's event log.
        values = pa.array(self.getOrDefault(self.values), pa.string())
        of_value = dataset.sparkSession.createDataFrame(pa.table({name: values, output: values}))
        pooled = F.when(F.col(name).isNotNull(), F.coalesce(F.col(output), F.lit(OTHER)))
        return dataset.join(F.broadcast(of_value), name, "left").withColumn(output, pooled)


class MultiHot(_LearnsFrequent):
    """Learn the labels in a column of text arrays that enough distinct units have."""

    def _fit(self, dataset: DataFrame) -> MultiHotModel:
        values = self._frequent(dataset, F.explode(self.getInputCol()))
        return MultiHotModel(inputCol=self.getInputCol(), outputCol=self.getOutputCol(), values=values)


class MultiHotModel(_KeepsFrequent):
    """Add a vector with a 1 for each learnt label in the array; the last slot is 1 if there is none.

    That last slot, unknown, is also 1 for a null or an empty array.
    """

    def _transform(self, dataset: DataFrame) -> DataFrame:
        output, labels = self.getOutputCol(), self.getOrDefault(self.values)
        in_row = F.coalesce(F.col(self.getInputCol()), F.array().cast("array<string>"))
        flags = [F.array_contains(in_row, label).cast("double") for label in labels]
        known = F.arrays_overlap(in_row, F.array(*map(F.lit, labels)).cast("array<string>"))
        unknown = F.when(known, F.lit(0.0)).otherwise(F.lit(1.0))
        attributes = [{"idx": i, "name": name} for i, name in enumerate([*labels, UNKNOWN])]
        metadata = {"ml_attr": {"attrs": {"binary": attributes}, "num_attrs": len(attributes)}}
        vector = array_to_vector(F.array(*flags, unknown))
        return dataset.withColumn(output, vector).withMetadata(output, metadata)


SAVED = (CalendarCycles, ReleaseFeatures, HistoryFeatures, TasteFeatures, RareLevelsModel, MultiHotModel)
"""The custom stages in a fitted pipeline."""
