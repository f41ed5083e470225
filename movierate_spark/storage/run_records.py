"""Run records: a JSON file beside what a run published, for whoever has to know what happened."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from movierate_spark.config import Settings
from movierate_spark.errors import ConflictError, InputError
from movierate_spark.session import submitted_properties
from movierate_spark.storage import redaction
from movierate_spark.storage.documents import Outcome, RunRecord, problem_with
from movierate_spark.storage.files import replace_json

RUNS = "_runs"
FOR_ITS_OWNER = 0o600
LIBRARIES = ("movierate-spark", "pyspark", "numpy", "pyarrow", "pandas", "deltalake")


def library_versions() -> dict[str, str]:
    """The versions of this package and of those that its results depend on."""
    return {name: version(name) for name in LIBRARIES}


@dataclass
class Draft:
    """What a run says of itself while it works: see :class:`RunRecord`. One not ``kept`` is not written."""

    outcome: Outcome = "done"
    run_date: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = True


@dataclass(frozen=True)
class StoredRecord:
    """A run record and the folder that the run worked on."""

    folder: str
    record: RunRecord


@contextmanager
def recorded(target: Path, job: str, settings: Settings, steps: list[dict[str, Any]]) -> Iterator[Draft]:
    """A record to be filled by the block, left in ``target`` when it ends.

    A refused run leaves none. One that failed or lost leaves one where ``target`` exists.
    """
    draft, started, began = Draft(), datetime.now(UTC), time.monotonic()

    def write() -> None:
        content = {
            "job": job,
            "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
            "seconds": round(time.monotonic() - began, 3),
            "steps": steps,
            "settings": _without_secrets(settings),
            "libraries": library_versions(),
        }
        said = {name: value for name, value in vars(draft).items() if name != "kept"}
        _write(target, RunRecord.new(**content, **said))
        steps.clear()

    try:
        yield draft
    except InputError:
        raise
    except BaseException as error:
        draft.outcome = "conflict" if isinstance(error, ConflictError) else "failed"
        if target.is_dir():
            with suppress(OSError):  # what went wrong first is what the caller must hear
                write()
        raise
    if draft.kept:
        write()


def _without_secrets(settings: Settings) -> dict[str, Any]:
    """Settings as a record may tell them: what Spark would hide, by its pattern here, is hidden."""
    properties = {**settings.spark.properties, **submitted_properties()}
    pattern = properties.get(redaction.SETTING, redaction.BY_DEFAULT)
    return redaction.redacted(settings.model_dump(mode="json"), pattern)


def _write(target: Path, record: RunRecord) -> None:
    folder = target / RUNS
    folder.mkdir(parents=True, exist_ok=True)
    stamp = record.started.replace(":", "").replace("-", "")
    file = folder / f"{stamp}-{record.job}-{uuid.uuid4().hex[:8]}.json"
    replace_json(file, record.content(), mode=FOR_ITS_OWNER)


def longest_run(folder: Path) -> float:
    """Seconds that the longest run took of those that have left a record in ``folder``; 0 without records."""
    return max((_read(file).seconds for file in (folder / RUNS).glob("*.json")), default=0.0)


def read_records(folders: list[Path]) -> list[StoredRecord]:
    """The records that lie in folders of lakes, models, scores and reports, oldest first.

    Raises:
        InputError: a folder holds no records, or one that can't be read.
    """
    stored: list[StoredRecord] = []
    for folder in folders:
        files = sorted((folder / RUNS).glob("*.json"))
        if not files:
            raise InputError(f"{folder}: no run has left a record there")
        stored += [StoredRecord(str(folder), _read(file)) for file in files]
    return sorted(stored, key=lambda each: (each.record.started, each.record.run_date or ""))


def _read(file: Path) -> RunRecord:
    try:
        return RunRecord.parse(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: no run record ({problem_with(error)}): remove it") from error
