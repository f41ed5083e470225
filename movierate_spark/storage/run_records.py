"""Run records: a JSON file about each run, in the folder of its output."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from movierate_spark import redaction
from movierate_spark.config import Settings
from movierate_spark.errors import ConflictError, InputError
from movierate_spark.session import submitted_properties
from movierate_spark.storage.documents import Outcome, RunRecord, problem_with
from movierate_spark.storage.files import entries, file_entry, make_folder, replace_json
from movierate_spark.storage.locations import Location

A_WEEK = 7 * 86_400.0
RUNS = "_runs"
STAMP = "%Y%m%dT%H%M%SZ"
"""The time (UTC) with which a record's name begins."""
LIBRARIES = ("movierate-spark", "pyspark", "numpy", "pyarrow", "pandas", "deltalake")


def library_versions() -> dict[str, str]:
    """The versions of this package and of the libraries on which its results depend."""
    return {name: version(name) for name in LIBRARIES}


@dataclass
class Draft:
    """A run record while the run is working: see :class:`RunRecord`. It is written only if ``kept``."""

    outcome: Outcome = "done"
    run_date: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = True


@dataclass(frozen=True)
class StoredRecord:
    """A run record, and the folder in which it was found."""

    folder: str
    record: RunRecord


@contextmanager
def recorded(target: Location, job: str, settings: Settings, steps: list[dict[str, Any]]) -> Iterator[Draft]:
    """A draft for the block to fill; it is written into ``target`` as a run record when the block ends.

    A run that ends with an InputError has no record. One that failed otherwise, or had a conflict, has one if
    ``target`` exists.
    """
    draft, started, start = Draft(), datetime.now(UTC), time.monotonic()

    def write() -> None:
        content = {
            "job": job,
            "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
            "seconds": round(time.monotonic() - start, 3),
            "steps": steps,
            "settings": _without_secrets(settings),
            "libraries": library_versions(),
        }
        from_draft = {name: value for name, value in vars(draft).items() if name != "kept"}
        _write(target, RunRecord.new(**content, **from_draft))
        steps.clear()

    try:
        yield draft
    except InputError:
        raise
    except BaseException as error:
        draft.outcome = "conflict" if isinstance(error, ConflictError) else "failed"
        if target.is_dir():
            with suppress(OSError):  # the caller must get the first error
                write()
        raise
    if draft.kept:
        write()


def _without_secrets(settings: Settings) -> dict[str, Any]:
    """The settings, without values that Spark would redact by its pattern in these settings."""
    properties = {**settings.spark.properties, **submitted_properties()}
    pattern = properties.get(redaction.SETTING, redaction.BY_DEFAULT)
    return redaction.redacted(settings.model_dump(mode="json"), pattern)


def _write(target: Location, record: RunRecord) -> None:
    folder = target / RUNS
    make_folder(folder)
    begun = datetime.fromisoformat(record.started).strftime(STAMP)
    file = folder / f"{begun}-{record.job}-{uuid.uuid4().hex[:8]}.json"
    replace_json(file, record.content(), private=True)


def longest_run(folder: Location) -> float:
    """The duration in seconds of the longest run with a record in ``folder``; 0 without records.

    A record that can't be read, such as another user's, counts from the time in its name to its last change,
    but as a week at most: a copy of it has another time of change.
    """
    return max(map(_seconds, _files(folder)), default=0.0)


def _seconds(file: Location) -> float:
    try:
        return _read(file).seconds
    except InputError:
        entry = file_entry(file)
        with suppress(ValueError):  # another file's name
            begun = datetime.strptime(file.name.partition("-")[0], STAMP).replace(tzinfo=UTC)
            seconds = entry.modified - begun.timestamp() if entry else 0.0
            return min(max(seconds, 0.0), A_WEEK)
        return 0.0


def read_records(folders: Sequence[Location]) -> list[StoredRecord]:
    """The run records in folders of lakes, models, scores and reports, oldest first.

    Raises:
        InputError: a folder has no records, or one that can't be read.
    """
    stored: list[StoredRecord] = []
    for folder in folders:
        files = _files(folder)
        if not files:
            raise InputError(f"{folder}: no run has left a record there")
        stored += [StoredRecord(str(folder), _read(file)) for file in files]
    return sorted(stored, key=lambda each: (each.record.started, each.record.run_date or ""))


def _files(folder: Location) -> list[Location]:
    """The records' files in a folder, the oldest first."""
    return [folder / RUNS / name for name in entries(folder / RUNS) if name.endswith(".json")]


def _read(file: Location) -> RunRecord:
    try:
        return RunRecord.parse(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: no run record that can be read ({problem_with(error)})") from error
