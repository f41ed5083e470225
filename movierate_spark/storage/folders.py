"""Checks of output folders: a job writes only to a new folder, or to one with its own earlier output."""

from __future__ import annotations

import re
from collections.abc import Collection

from pyspark.sql.types import StructType

from movierate_spark import schemas
from movierate_spark.errors import InputError
from movierate_spark.storage.files import UNIQUE, entries, tag_of
from movierate_spark.storage.lake import LEDGER, LakeState
from movierate_spark.storage.locations import Location
from movierate_spark.storage.locations.delta import LOG
from movierate_spark.storage.opened_table import OpenedTable, check_purpose, open_table
from movierate_spark.storage.run_records import RUNS
from movierate_spark.storage.tables import RUN_DATE

KILLED = re.compile(rf"{LOG}|{UNIQUE}|{RUN_DATE}=\d{{4}}-\d{{2}}-\d{{2}}")
"""What a run leaves if it is killed before its table's first commit."""


def lake_to_write(path: Location) -> LakeState:
    """The lake as it is now; there may be none.

    Raises:
        InputError: the path is a file, a folder with other content, or has a table with another schema.
    """
    state = LakeState(
        tag_of(path / LEDGER), {name: open_table(path / name) for name in schemas.LAKE_AND_STATE}
    )
    names = set(entries(path))
    # Not is_dir: a folder that a killed run has left empty is none in an object store.
    tables = {name for name in names.intersection(schemas.LAKE_AND_STATE) if not (path / name).is_file()}
    check_folder(path, "lake", {LEDGER, *tables})
    for name in tables:
        _check_table(state.tables[name], "lake", schemas.LAKE_AND_STATE[name])
    return state


def table_to_write(
    path: Location, argument: str, schema: StructType, allowed: Collection[str] = ()
) -> OpenedTable:
    """The table of ``schema`` as it is now; there may be none, and then only the names ``allowed``.

    Raises:
        InputError: the path is a file, a folder with other content, or a table with another schema.
    """
    table = open_table(path)
    _check_table(table, argument, schema, allowed)
    return table


def _check_table(
    table: OpenedTable, argument: str, schema: StructType, allowed: Collection[str] = ()
) -> None:
    check_purpose(table, schema, argument=argument)
    if table.delta is None:
        killed = {name for name in entries(table.path) if KILLED.fullmatch(name)}
        check_folder(table.path, argument, {*killed, *allowed})


def check_folder(path: Location, argument: str, allowed: Collection[str] = ()) -> None:
    """Refuse a folder that holds anything but run records and the names ``allowed``.

    Raises:
        InputError: the path is a file, or a folder with other content.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: name a folder", argument=argument)
    other_names = [name for name in entries(path) if name not in {RUNS, *allowed}]
    if other_names:
        raise InputError(
            f"{path} holds something else ({other_names[0]}): name a new folder", argument=argument
        )
