"""docs/tables.md: the columns and keys that jobs leave."""

from __future__ import annotations

import re

import pytest
from helpers import ROOT
from pyspark.sql.types import StructType

from movierate_spark import schemas
from movierate_spark.storage.documents import Ablation, Metrics, OtherModel

TEXT = (ROOT / "docs" / "tables.md").read_text()


def in_code(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def columns_after(start: str) -> set[str]:
    """The names in the first column of the first table after a text."""
    rows = re.search(r"\| --- .*\n((?:\|.*\n)+)", TEXT[TEXT.index(start) :])
    assert rows is not None
    return set().union(*(in_code(row.split("|")[1]) for row in rows.group(1).splitlines()))


@pytest.mark.parametrize(
    ("start", "schema"),
    [
        ("`ratings`: a row", schemas.RATINGS),
        ("`users`: a row", schemas.USERS),
        ("`movies`: a row", schemas.MOVIES),
        ("`rejected`: a row", schemas.REJECTED),
        ("`scores`, in", schemas.SCORES),
        ("The table of `recommend`", schemas.RECOMMENDATIONS),
        ("`predictions`, in", schemas.PREDICTIONS),
    ],
)
def test_each_table_is_described_with_all_its_columns(start: str, schema: StructType) -> None:
    assert columns_after(start) == set(schema.names)


def test_rejected_requests_have_the_columns_of_rejected_lines_but_one() -> None:
    own = set(schemas.REJECTED_REQUESTS.names)
    assert own == set(schemas.REJECTED.names) - {"table"} | {"run_date"}


@pytest.mark.parametrize("document", [Metrics, OtherModel, Ablation])
def test_each_key_of_the_metrics_is_described(document: type[Metrics | OtherModel | Ablation]) -> None:
    section = TEXT[TEXT.index("## metrics.json") :]
    assert set(document.model_fields) - in_code(section) == set()
