"""What a delivery changes in a table that holds earlier ones."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.session import persisted
from movierate_spark.storage.opened_table import OpenedTable
from movierate_spark.storage.tables import read_files

FILE = "_file"
"""The column with the name of a row's file, in rows of a table."""
KEYS = {"ratings": ("user_id", "movie_id", "rated_at"), "users": ("user_id",), "movies": ("movie_id",)}


@dataclass(frozen=True)
class Changes:
    """``added`` are delivered rows that the table lacks, one per key.

    ``replaced`` are the keys of the table's rows that they replace, with the rows' :data:`FILE`.
    """

    added: DataFrame
    replaced: DataFrame


@dataclass(frozen=True)
class Merge:
    """What a delivery changes in the table ``name``.

    ``rows`` take the place of the table's ``files``. ``added`` are the delivered rows that the table lacked,
    ``new`` those of them that replace none. The others are numbers of rows: ``added_rows``,
    ``replaced_rows``, and ``new_ids``: the users, movies, or pairs of both that the table did not have.
    """

    name: str
    rows: DataFrame
    files: frozenset[str]
    added: DataFrame
    new: DataFrame
    added_rows: int
    replaced_rows: int
    new_ids: int

    def after(self, table: DataFrame) -> DataFrame:
        """The table's rows after the merge, from those before it."""
        keys = list(KEYS[self.name])
        return table.join(self.added.select(keys), keys, "left_anti").unionByName(self.added)


@contextmanager
def merged(name: str, delivered: DataFrame, table: OpenedTable) -> Iterator[Merge]:
    """How ``delivered``, a row per key, changes the lake's table; frames are cached during the block.

    The table is read once, and of it only rows with delivered ids are kept; it is not shuffled unless the
    delivery is large.
    """
    spark, schema, keys = delivered.sparkSession, schemas.LAKE[name], list(KEYS[name])
    ids = [key for key in keys if key.endswith("_id")]
    files = {file.name.rpartition("/")[2]: file for file in table.files.get(None, [])}
    paths = [file.name for file in files.values()]
    with ExitStack() as stack:

        def cached(frame: DataFrame) -> DataFrame:
            return stack.enter_context(persisted(frame))

        cached(delivered).count()  # its size is known then, and Spark sends it to all tasks if it is small
        every = read_files(spark, table.path, schema, paths, file_column=FILE)
        present = cached(every.join(delivered.select(ids).distinct(), ids, "left_semi"))
        find = rating_changes if name == "ratings" else attribute_changes
        changes = find(delivered, present)
        added, replaced = cached(changes.added), cached(changes.replaced)
        replaced_in = {row[FILE]: row["count"] for row in replaced.groupBy(FILE).count().collect()}
        rewritten = {files[name].name for name in replaced_in}
        rewritten |= table.small_files()
        staying = read_files(spark, table.path, schema, rewritten)
        added_rows, new_ids = _rows_and_new_ids(added, present, ids)
        yield Merge(
            name,
            staying.join(replaced.select(keys), keys, "left_anti").unionByName(added),
            frozenset(rewritten),
            added,
            added.join(replaced.select(keys), keys, "left_anti"),
            added_rows,
            sum(replaced_in.values()),
            new_ids,
        )


def _rows_and_new_ids(added: DataFrame, present: DataFrame, ids: list[str]) -> tuple[int, int]:
    """The number of added rows, and of their distinct ids that are not present."""
    known = present.select(*ids, F.lit(True).alias("is_known")).distinct()
    by_id = added.groupBy(*ids).count().join(known, ids, "left")
    row = by_id.agg(F.sum("count").alias("rows"), F.count_if(F.col("is_known").isNull()).alias("new")).head()
    return (int(row["rows"] or 0), int(row["new"])) if row else (0, 0)


def rating_changes(delivered: DataFrame, present: DataFrame) -> Changes:
    """Of a user's ratings of a movie in the same second, the highest stays.

    Both have a row per (user, movie, second). ``present`` are the table's rows of the delivered keys, at
    least, with :data:`FILE`.
    """
    return _changes(delivered, present, KEYS["ratings"], replaces=F.col("new.rating") > F.col("old.rating"))


def attribute_changes(delivered: DataFrame, present: DataFrame) -> Changes:
    """Of a user or a movie, the row delivered last stays. A row that is there already changes nothing.

    Both have a row per user or movie, whose id comes first; ``present`` also :data:`FILE`.
    """
    key, *others = delivered.columns
    same = reduce(operator.and_, (F.col(f"new.{name}").eqNullSafe(F.col(f"old.{name}")) for name in others))
    return _changes(delivered, present, (key,), replaces=~same)


def _changes(delivered: DataFrame, present: DataFrame, keys: Sequence[str], *, replaces: Column) -> Changes:
    both = delivered.alias("new").join(present.alias("old"), list(keys), "left")
    is_present = F.col(f"old.{FILE}").isNotNull()
    columns = [F.col(name if name in keys else f"new.{name}").alias(name) for name in delivered.columns]
    return Changes(
        both.where(~is_present | replaces).select(*columns),
        both.where(is_present & replaces).select(*keys, F.col(f"old.{FILE}").alias(FILE)),
    )
