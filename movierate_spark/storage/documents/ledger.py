"""``ledger.json``: what is in a lake, and where every line of its inputs has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from movierate_spark.storage.documents.document import Document, Part


class TableCounts(Part):
    """The counts of a table's lines: ``read = accepted + rejected + blank + superseded``.

    ``by_rule`` counts rejected lines by the rule that they broke. ``unknown`` counts accepted rows with an
    unknown value, by column. For ratings only: ``re_rated`` counts ratings of movies that the user had
    already rated (None in version 0.1, which did not keep them), ``orphans`` counts ratings whose user or
    movie is not in its table, and ``valid_from`` is the epoch second from which on the first of those that
    were rejected for a time in the future is valid (None if there are none).
    """

    read: int
    accepted: int
    rejected: int
    blank: int
    superseded: int
    by_rule: Mapping[str, int]
    unknown: Mapping[str, int] = Field(default_factory=dict)
    re_rated: int | None = None
    orphans: int | None = None
    valid_from: int | None = None

    def is_up_to_date(self, now: float) -> bool:
        """Whether no rejected line has become valid until ``now`` (epoch seconds)."""
        return self.valid_from is None or now < self.valid_from


class DeliveryCounts(Part):
    """A delivery, and the counts of its lines when it was published.

    ``inputs`` are the identities of the delivered files by name. ``settings`` are those that determine the
    lake's content. ``made_by`` is the release that read it.
    """

    format: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    made_by: str = ""
    tables: Mapping[str, TableCounts]


class StateSettings(Part):
    """The settings on which the content of a lake's state depends."""

    min_rating: float
    shrinkage_movie: float


class StateEntry(Part):
    """A lake's state: ``until`` is the midnight (UTC) that ends its last day."""

    until: datetime
    settings: StateSettings


class Ledger(DeliveryCounts, Document):
    """``ledger.json``: a lake's inputs, the counts of their lines, and the versions of its tables.

    ``tables`` counts the lines of all deliveries; a row that a later delivery replaces is superseded. The
    other fields of a delivery are those of the last one that was complete. If others were added to it,
    ``deliveries`` has all of them, oldest first. ``before`` is the ledger that this one replaced. ``state``
    describes the history that is kept; None if none is.
    """

    versions: Mapping[str, int]
    deliveries: Sequence[DeliveryCounts] = ()
    state: StateEntry | None = None
    before: Ledger | None = None
