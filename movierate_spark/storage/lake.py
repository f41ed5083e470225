"""The lake: four Delta tables, and the ledger that is their commit.

``ledger.json`` names each table's version and is written last, by an atomic rename. Readers open
the tables at those versions, so they see one whole delivery or the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark import schemas
from movierate_spark.errors import ConflictError, InputError, MovierateError
from movierate_spark.storage.attempts import Attempt, attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.digests import sha256
from movierate_spark.storage.documents import Ledger, TableCounts, problem_with
from movierate_spark.storage.files import replace_json
from movierate_spark.storage.opened_table import OpenedTable, open_table
from movierate_spark.storage.tables import current_files, read_table

LEDGER = "ledger.json"


@dataclass(frozen=True)
class Lake:
    """An opened lake: its frames are fixed at the ledger's versions.

    ``ledger_sha256`` is of the bytes that ``ledger`` was parsed from; the file may be another one by now.
    """

    path: Path
    ledger: Ledger
    ledger_sha256: str
    ratings: DataFrame
    users: DataFrame
    movies: DataFrame

    @property
    def has_re_ratings(self) -> bool:
        """Whether a user has rated a movie again; not in a lake whose ledger does not count them (0.1)."""
        return bool(self.ledger.tables["ratings"].re_rated)

    @property
    def latest_ratings(self) -> DataFrame:
        """One row per (user, movie) that has ratings: the latest of them."""
        if not self.has_re_ratings:
            return self.ratings
        latest = F.max(F.struct("rated_at", "rating")).alias("latest")
        by_pair = self.ratings.groupBy("user_id", "movie_id").agg(latest)
        return by_pair.select("user_id", "movie_id", "latest.rating", "latest.rated_at")

    def described(self) -> dict[str, Any]:
        """What a run record says of the lake that was read."""
        named = {"lake": str(self.path), "lake_versions": dict(self.ledger.versions)}
        return named | {"ledger_sha256": self.ledger_sha256}


def read_ledger(path: Path) -> tuple[Ledger, bytes]:
    """The ledger of the lake at ``path``, and the bytes that it was read from.

    Raises:
        InputError: no lake lies there, or its ledger can't be read.
    """
    try:
        content = (path / LEDGER).read_bytes()
        return Ledger.parse(content), content
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no lake there ({LEDGER} is missing): run prepare", argument="lake"
        ) from error
    except (OSError, ValueError) as error:
        problem = problem_with(error)
        raise InputError(
            f"{path}: {LEDGER} can't be read ({problem}): run prepare again", argument="lake"
        ) from error


def open_lake(spark: SparkSession, path: Path) -> Lake:
    """The lake at ``path``, as its ledger names it.

    Raises:
        InputError: no lake lies there, or its ledger or a table can't be read.
    """
    ledger, content = read_ledger(path)
    frames = {
        name: read_table(spark, path / name, schemas.LAKE[name], version=ledger.versions[name])
        for name in ("ratings", "users", "movies")
    }
    return Lake(path, ledger, sha256(content), **frames)


def made_of_the_same(path: Path, made_of: Mapping[str, Any]) -> Ledger | None:
    """The ledger of a whole lake that was made of the same files and settings; else None.

    A rating of the future that was rejected may have come of age: such a lake is never the same. Nor is one
    of 0.1 that did not keep, nor count, re-ratings.
    """
    try:
        ledger = Ledger.parse((path / LEDGER).read_bytes())
        files = [
            file
            for name, version in ledger.versions.items()
            for file in current_files(path / name, version=version)
        ]
    except (OSError, ValueError, DeltaError):
        return None
    is_same = all(getattr(ledger, name) == value for name, value in made_of.items())
    ratings = ledger.tables["ratings"]
    is_same &= ratings.re_rated is not None
    too_late = ratings.by_rule.get("rated_at", 0)
    return ledger if is_same and not too_late and all(Path(file).is_file() for file in files) else None


def open_tables(path: Path) -> dict[str, OpenedTable]:
    """The lake's tables as they are when a run begins, for :func:`publish`."""
    return {name: open_table(path / name) for name in schemas.LAKE}


@contextmanager
def publishing(path: Path, frames: Mapping[str, DataFrame]) -> Iterator[dict[str, Attempt]]:
    """Write the tables' files; if the block fails, what it had written is removed again."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(attempt_to_write(frames[name], path / name, schema))
            for name, schema in schemas.LAKE.items()
        }


def publish(
    path: Path,
    attempts: Mapping[str, Attempt],
    tables: Mapping[str, TableCounts],
    made_of: Mapping[str, Any],
    *,
    to: Mapping[str, OpenedTable],
) -> Ledger:
    """Commit the tables, then the ledger that makes them the lake.

    ``tables`` and ``made_of`` are the ledger's content but for the versions; ``to`` are the tables as they
    were when the run began.

    Raises:
        MovierateError: the rows written are not those the ledger counts; nothing becomes visible.
        ConflictError: another run has published a lake meanwhile.
    """
    rejected = sum(counts.rejected for counts in tables.values())
    counted = {name: counts.accepted for name, counts in tables.items()} | {"rejected": rejected}
    for name, attempt in attempts.items():
        if attempt.rows != counted[name]:
            raise MovierateError(
                f"{path / name}: {attempt.rows} rows written, {counted[name]} counted: did the input change?"
            )
    versions = {name: commit(attempt, to=to[name]) for name, attempt in attempts.items()}
    _check_newest(path, versions)
    ledger = Ledger.new(**made_of, tables=tables, versions=versions)
    replace_json(path / LEDGER, ledger.content())
    return ledger


def _check_newest(path: Path, versions: Mapping[str, int]) -> None:
    """Refuse to name versions that another run has replaced by now: its lake is the newer one."""
    newest = {name: open_table(path / name).version for name in versions}
    if newest != versions:
        raise ConflictError(
            f"{path}: another run has published its tables meanwhile; {LEDGER} stays as it is"
        )
