"""Checks of output folders: a job writes only to a new folder, or to one with its own earlier output."""

from __future__ import annotations

import re
from collections.abc import Collection

from pyspark.sql.types import StructType

from movierate_spark import schemas
from movierate_spark.errors import InputError
from movierate_spark.storage.files import UNIQUE, entries
from movierate_spark.storage.lake import LEDGER
from movierate_spark.storage.locations import Location
from movierate_spark.storage.locations.delta import LOG
from movierate_spark.storage.opened_table import check_purpose, open_table
from movierate_spark.storage.run_records import RUNS
from movierate_spark.storage.tables import RUN_DATE, is_delta_table

KILLED = re.compile(rf"{LOG}|{UNIQUE}|{RUN_DATE}=\d{{4}}-\d{{2}}-\d{{2}}")
"""What a run leaves if it is killed before its table's first commit."""


def check_lake_folder(path: Location) -> None:
    """Refuse a folder that holds anything but a lake.

    Raises:
        InputError: the path is a file, a folder with other content, or has a table with another schema.
    """
    tables = {name for name in schemas.LAKE if (path / name).is_dir()}
    check_folder(path, "lake", {LEDGER, *tables})
    for name in tables:
        check_table_folder(path / name, "lake", schemas.LAKE[name])


def check_table_folder(
    path: Location, argument: str, schema: StructType, allowed: Collection[str] = ()
) -> None:
    """Refuse a folder that holds anything but a table of ``schema`` and the names ``allowed``.

    Raises:
        InputError: the path is a file, a folder with other content, or a table with another schema.
    """
    check_purpose(open_table(path), schema, argument=argument)
    if not is_delta_table(path):
        killed = {name for name in entries(path) if KILLED.fullmatch(name)}
        check_folder(path, argument, {*killed, *allowed})


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
