"""The run records in ``_runs``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from movierate_spark.storage.documents.document import Document

Outcome = Literal["done", "unchanged", "conflict", "failed"]


class RunRecord(Document):
    """A run record: a run's inputs, steps, outputs and outcome. Times are UTC; ``seconds`` is its duration.

    ``counts`` are rows at each step, which add up. Secrets in the settings are hidden.
    """

    job: str
    started: str
    outcome: Outcome
    run_date: str | None
    seconds: float
    inputs: Mapping[str, Any]
    counts: Mapping[str, Any]
    outputs: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]
    libraries: Mapping[str, str]
