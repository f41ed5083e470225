"""The counts of the ledger: each line that was read is in exactly one of a table's counts."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.errors import InputError
from movierate_spark.inputs.rules import BLANK
from movierate_spark.storage.documents import TableCounts
from movierate_spark.storage.locations import Location


def row_counts(by_rule: Mapping[str | None, int]) -> TableCounts:
    """A table's counts, from its lines by rule. Superseded rows are still counted as accepted."""
    rejected = {rule: n for rule, n in sorted(by_rule.items(), key=str) if rule not in (None, BLANK)}
    return TableCounts(
        read=sum(by_rule.values()),
        accepted=by_rule.get(None, 0),
        rejected=sum(rejected.values()),
        blank=by_rule.get(BLANK, 0),
        superseded=0,
        by_rule=rejected,
    )


def check_rejected(path: Location, table: str, counts: TableCounts, *, max_fraction: float) -> None:
    """Refuse a delivery with too many rejected rows.

    Raises:
        InputError: more than ``max_fraction`` of the lines are rejected; the message has the rules that were
            broken most often.
    """
    if counts.rejected > max_fraction * counts.read:
        raise InputError(
            f"{path}: {counts.rejected} of {counts.read} {table} rejected, more than"
            f" validate.max_rejected_fraction {max_fraction:g} ({_most_broken(counts)})."
            " Nothing was published: mend the file, or name its format"
        )


def check_not_empty(path: Location, table: str, counts: TableCounts) -> None:
    """Refuse a delivery with no accepted rows.

    Raises:
        InputError: none is accepted; the message has the rules that were broken most often.
    """
    if not counts.accepted:
        rules = _most_broken(counts)
        why = f"all were rejected ({rules})" if rules else "it holds none"
        raise InputError(f"{path}: no {table} to accept: {why}")


def _most_broken(counts: TableCounts) -> str:
    broken = sorted(counts.by_rule.items(), key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(f"{rule} {n}" for rule, n in broken)


def with_superseded(counts: TableCounts, *, kept: int) -> TableCounts:
    """The counts after one row per key was kept: ``kept`` rows are accepted, the others superseded."""
    return counts.model_copy(update={"accepted": kept, "superseded": counts.accepted - kept})


def added_up(earlier: TableCounts, later: TableCounts, *, replaced: int) -> TableCounts:
    """The counts of two deliveries together: the later one's rows replace ``replaced`` of the earlier one's.

    What else is known of the earlier one's table is kept as it was.
    """
    return earlier.model_copy(
        update={
            "read": earlier.read + later.read,
            "accepted": earlier.accepted + later.accepted - replaced,
            "rejected": earlier.rejected + later.rejected,
            "blank": earlier.blank + later.blank,
            "superseded": earlier.superseded + later.superseded + replaced,
            "by_rule": {
                rule: earlier.by_rule.get(rule, 0) + later.by_rule.get(rule, 0)
                for rule in sorted({*earlier.by_rule, *later.by_rule})
            },
        }
    )


def unknown_counts(frame: DataFrame, columns: tuple[str, ...]) -> dict[str, int]:
    """The number of rows in which a column is null (or an empty array), by column, in one pass."""
    types = dict(frame.dtypes)
    conditions = {
        name: F.size(name) == 0 if types[name].startswith("array") else F.col(name).isNull()
        for name in columns
    }
    row = frame.agg(*(F.count_if(condition).alias(name) for name, condition in conditions.items())).head()
    return {name: int(row[name]) for name in columns} if row else {}


def count_re_rated(ratings: DataFrame) -> int:
    """The number of ratings of movies that the user had already rated: all but the first of each pair."""
    pairs = ratings.groupBy("user_id", "movie_id").count()
    row = pairs.agg(F.sum(F.col("count") - 1).alias("later")).head()
    return int(row["later"] or 0) if row else 0


def count_orphans(ratings: DataFrame, users: DataFrame, movies: DataFrame, *, have_users: bool) -> int:
    """The number of ratings whose user or movie is not in its table; without users, only movies count."""
    known_users = users.select("user_id", F.lit(True).alias("user_found"))
    known_movies = movies.select("movie_id", F.lit(True).alias("movie_found"))
    joined = ratings.join(known_users, "user_id", "left").join(known_movies, "movie_id", "left")
    no_user = F.col("user_found").isNull() if have_users else F.lit(False)
    return joined.where(no_user | F.col("movie_found").isNull()).count()
