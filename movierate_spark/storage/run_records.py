"""Run records: a JSON file beside what a run published, for whoever has to know what happened."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from movierate_spark.config import Settings
from movierate_spark.errors import ConflictError, InputError
from movierate_spark.session import submitted_properties
from movierate_spark.storage import redaction
from movierate_spark.storage.files import replace_json

RUNS = "_runs"
FOR_ITS_OWNER = 0o600
LIBRARIES = ("movierate-spark", "pyspark", "numpy", "pyarrow", "pandas", "deltalake")


def library_versions() -> dict[str, str]:
    """The versions of this package and of those that its results depend on."""
    return {name: version(name) for name in LIBRARIES}


@dataclass
class RunRecord:
    """What a run read, did and left. Times are UTC; ``seconds`` from its beginning to its end.

    ``outcome`` is done, unchanged, conflict or failed. ``counts`` are rows at each step, which add up. One
    that is not ``kept`` is not written.
    """

    job: str
    started: str
    outcome: str = "done"
    run_date: str | None = None
    seconds: float = 0.0
    inputs: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    kept: bool = True


@contextmanager
def recorded(target: Path, job: str, settings: Settings, steps: list[dict[str, Any]]) -> Iterator[RunRecord]:
    """A record to be filled by the block, left in ``target`` when it ends.

    A refused run leaves none. One that failed or lost leaves one where ``target`` exists.
    """
    began = time.monotonic()
    record = RunRecord(
        job,
        f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        settings=_told(settings),
        libraries=library_versions(),
    )
    try:
        yield record
    except InputError:
        raise
    except BaseException as error:
        record.outcome = "conflict" if isinstance(error, ConflictError) else "failed"
        if target.is_dir():
            with suppress(OSError):  # what went wrong first is what the caller must hear
                _write(target, record, began, steps)
        raise
    if record.kept:
        _write(target, record, began, steps)


def _told(settings: Settings) -> dict[str, Any]:
    """Settings as a record may tell them: what Spark would hide, by its pattern here, is hidden."""
    properties = {**settings.spark.properties, **submitted_properties()}
    pattern = properties.get(redaction.SETTING, redaction.BY_DEFAULT)
    return redaction.redacted(settings.model_dump(mode="json"), pattern)


def _write(target: Path, record: RunRecord, began: float, steps: list[dict[str, Any]]) -> None:
    record.seconds = round(time.monotonic() - began, 3)
    record.steps = list(steps)
    folder = target / RUNS
    folder.mkdir(parents=True, exist_ok=True)
    stamp = record.started.replace(":", "").replace("-", "")
    content = {name: value for name, value in asdict(record).items() if name != "kept"}
    file = folder / f"{stamp}-{record.job}-{uuid.uuid4().hex[:8]}.json"
    replace_json(file, content, mode=FOR_ITS_OWNER)
    steps.clear()


def longest_run(folder: Path) -> float:
    """Seconds that the longest run took of those that have left a record in ``folder``; 0 without records."""
    files = (folder / RUNS).glob("*.json")
    return max((json.loads(file.read_text(encoding="utf-8"))["seconds"] for file in files), default=0.0)


def read_records(folders: list[Path]) -> list[Mapping[str, Any]]:
    """The records that lie in folders of lakes, models, scores and reports, oldest first.

    Raises:
        InputError: a folder holds no records.
    """
    found = []
    for folder in folders:
        files = sorted((folder / RUNS).glob("*.json"))
        if not files:
            raise InputError(f"{folder}: no run has left a record there")
        found += [{**json.loads(file.read_text(encoding="utf-8")), "where": str(folder)} for file in files]
    return sorted(found, key=lambda record: (record["started"], record["run_date"] or ""))
