"""Stages of our own for Spark ML pipelines: native expressions, params, persistence.

Each keeps the row count. None of them calls Python for a row.
"""

from __future__ import annotations

from typing import Any, Self

from pyspark import keyword_only
from pyspark.ml import Estimator, Model, Transformer
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasInputCols, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from movierate_spark.features.expressions import CYCLES, cycle, decade, film_age, log_odds

OTHER = "other"
UNKNOWN = "unknown"


def _param(name: str, doc: str, convert: Any) -> Param[Any]:
    return Param(Params._dummy(), name, doc, typeConverter=convert)  # type: ignore[no-untyped-call]


class _Stage(DefaultParamsReadable, DefaultParamsWritable):  # type: ignore[type-arg]
    """Params given by keyword at construction; saved and loaded with them."""

    def _take(self: Any, given: dict[str, Any]) -> None:
        self._set(**{name: value for name, value in given.items() if value is not None})


class CalendarCycles(Transformer, HasInputCol, _Stage):
    """Add ``<cycle>_sin`` and ``<cycle>_cos`` (doubles) of a timestamp in UTC, for each of ``cycles``.

    Cycles are ``hour``, ``weekday`` and ``month``. A null timestamp gives nulls.
    """

    cycles = _param("cycles", "names of the cycles", TypeConverters.toListString)

    @keyword_only
    def __init__(self, *, inputCol: str | None = None, cycles: list[str] | None = None) -> None:
        super().__init__()
        self._take(self._input_kwargs)

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
    """Add what a film's release year says at the time of the row; ``inputCols`` are time and year.

    ``decade`` (text, null when the year is), ``release_year`` (decades since 2000) with its square,
    ``film_age`` (log of 1 + years since release); the numbers are 0 where the year is null.
    """

    OUTPUT = ("release_year", "release_year_squared", "film_age")

    @keyword_only
    def __init__(self, *, inputCols: list[str] | None = None) -> None:
        super().__init__()
        self._take(self._input_kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        at, year = (F.col(name) for name in self.getInputCols())
        decades = (year - 2000) / 10
        numbers = (decades, decades * decades, F.log1p(film_age(at, year)))
        filled = {
            name: F.coalesce(value, F.lit(0.0)) for name, value in zip(self.OUTPUT, numbers, strict=True)
        }
        return dataset.withColumns({"decade": decade(year), **filled})


class HistoryFeatures(Transformer, _Stage):
    """Add the as-of history as columns that add up in log odds.

    For user and movie: log of 1 + count, mean minus the prior mean (stars), log odds of the like rate
    minus those of the prior, and the last two times the log count, as a mean of many says more.
    """

    OUTPUT = tuple(
        f"{side}_{what}"
        for side in ("user", "movie")
        for what in ("log_count", "lift", "odds", "lift_x_log_count", "odds_x_log_count")
    )

    def _transform(self, dataset: DataFrame) -> DataFrame:
        columns = {}
        prior_odds = log_odds(F.col("prior_like_rate"))
        for side in ("user", "movie"):
            log_count = F.log1p(f"{side}_count")
            lift = F.col(f"{side}_mean") - F.col("prior_mean")
            odds = log_odds(F.col(f"{side}_like_rate")) - prior_odds
            values = (log_count, lift, odds, lift * log_count, odds * log_count)
            names = [name for name in self.OUTPUT if name.startswith(side)]
            columns.update(zip(names, values, strict=True))
        return dataset.withColumns(columns)


class RareLevels(Estimator["RareLevelsModel"], HasInputCol, HasOutputCol, _Stage):
    """Learn which values of a text column enough distinct units (users, say) have."""

    unitCol = _param("unitCol", "column whose distinct values are counted", TypeConverters.toString)
    minUnits = _param("minUnits", "fewest distinct units that keep a value", TypeConverters.toInt)

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        unitCol: str | None = None,
        minUnits: int | None = None,
    ) -> None:
        super().__init__()
        self._take(self._input_kwargs)

    def _fit(self, dataset: DataFrame) -> RareLevelsModel:
        value = self.getInputCol()
        units = dataset.where(F.col(value).isNotNull()).select(value, self.getOrDefault(self.unitCol)).distinct()
        kept = units.groupBy(value).count().where(F.col("count") >= self.getOrDefault(self.minUnits))
        levels = sorted(row[value] for row in kept.collect())
        return RareLevelsModel(inputCol=value, outputCol=self.getOutputCol(), levels=levels)


class RareLevelsModel(Model, HasInputCol, HasOutputCol, _Stage):
    """Keep the known levels, pool every other value as ``other``; null stays null."""

    levels = _param("levels", "values that are kept", TypeConverters.toListString)

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        levels: list[str] | None = None,
    ) -> None:
        super().__init__()
        self._take(self._input_kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, output = self.getInputCol(), self.getOutputCol()
        # A join, as literals of a query (zip codes, say) end in Spark's event log.
        levels = [(level, level) for level in self.getOrDefault(self.levels)]
        kept = dataset.sparkSession.createDataFrame(levels, f"`{name}` string, `{output}` string")
        value = F.when(F.col(name).isNotNull(), F.coalesce(F.col(output), F.lit(OTHER)))
        return dataset.join(F.broadcast(kept), name, "left").withColumn(output, value)


class MultiHot(Estimator["MultiHotModel"], HasInputCol, HasOutputCol, _Stage):
    """Learn the labels in a column of text arrays that enough distinct units (movies, say) carry."""

    unitCol = _param("unitCol", "column whose distinct values are counted", TypeConverters.toString)
    minUnits = _param("minUnits", "fewest distinct units that keep a label", TypeConverters.toInt)

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        unitCol: str | None = None,
        minUnits: int | None = None,
    ) -> None:
        super().__init__()
        self._take(self._input_kwargs)

    def _fit(self, dataset: DataFrame) -> MultiHotModel:
        unit = self.getOrDefault(self.unitCol)
        carried = dataset.select(unit, F.explode(self.getInputCol()).alias("label")).distinct()
        kept = carried.groupBy("label").count().where(F.col("count") >= self.getOrDefault(self.minUnits))
        labels = sorted(row["label"] for row in kept.collect())
        return MultiHotModel(inputCol=self.getInputCol(), outputCol=self.getOutputCol(), labels=labels)


class MultiHotModel(Model, HasInputCol, HasOutputCol, _Stage):
    """A vector with a 1 for each label that the array holds, and a last slot for none of them.

    A null array, an empty one, and one of labels never learnt all count as unknown.
    """

    labels = _param("labels", "labels in the order of their slots", TypeConverters.toListString)

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        labels: list[str] | None = None,
    ) -> None:
        super().__init__()
        self._take(self._input_kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        labels: list[str] = self.getOrDefault(self.labels)
        held = F.coalesce(F.col(self.getInputCol()), F.array().cast("array<string>"))
        flags = [F.array_contains(held, label).cast("double") for label in labels]
        known = F.arrays_overlap(held, F.array(*map(F.lit, labels)).cast("array<string>"))
        unknown = F.when(known, F.lit(0.0)).otherwise(F.lit(1.0))
        attributes = [{"idx": i, "name": name} for i, name in enumerate([*labels, UNKNOWN])]
        metadata = {"ml_attr": {"attrs": {"binary": attributes}, "num_attrs": len(attributes)}}
        vector = array_to_vector(F.array(*flags, unknown))
        return dataset.withColumn(self.getOutputCol(), vector).withMetadata(self.getOutputCol(), metadata)
