"""Documents that runs write: this version reads what it wrote and, if possible, documents of version 0.1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from movierate_spark.errors import InputError
from movierate_spark.model.bundle import open_bundle
from movierate_spark.storage.documents import Document, Ledger, Manifest, Metrics, RunRecord, problem_with
from movierate_spark.storage.lake import read_ledger
from movierate_spark.storage.run_records import read_records

EXAMPLES = Path(__file__).parent / "examples"
KINDS = {
    "ledger.json": Ledger,
    "ledger_with_state.json": Ledger,
    "bundle.json": Manifest,
    "metrics.json": Metrics,
    "run_record.json": RunRecord,
}


def example(name: str) -> bytes:
    return (EXAMPLES / name).read_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_a_stored_document_of_this_format_is_read_and_written_as_it_is(name: str) -> None:
    document = KINDS[name].parse(example(name))
    assert document.format_version == Document.newest
    assert document.content() == json.loads(example(name))


@pytest.mark.parametrize("name", KINDS)
def test_a_document_of_a_later_format_is_refused(name: str) -> None:
    later = json.loads(example(name)) | {"format_version": Document.newest + 1}
    with pytest.raises(ValidationError) as error:
        KINDS[name].parse(json.dumps(later).encode())
    assert problem_with(error.value) == "its format_version is 2, another version's"


@pytest.mark.parametrize("name", KINDS)
def test_a_document_with_a_key_too_many_or_too_few_is_refused(name: str) -> None:
    content = json.loads(example(name))
    for broken in (
        {**content, "colour": "red"},
        {key: content[key] for key in content if key != list(content)[1]},
    ):
        with pytest.raises(ValidationError):
            KINDS[name].parse(json.dumps(broken).encode())


def test_documents_do_not_change() -> None:
    ledger = Ledger.parse(example("ledger.json"))
    with pytest.raises(ValidationError):
        ledger.made_by = "somebody else"  # type: ignore[misc]


def test_a_lake_of_version_0_1_is_carried_on(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_bytes(example("0.1/ledger.json"))
    ledger, _ = read_ledger(tmp_path)
    assert (ledger.format_version, ledger.made_by) == (0, "0.1.0")
    assert ledger.tables["ratings"].read == 3000
    assert ledger.tables["ratings"].re_rated is None


def test_run_records_of_version_0_1_are_listed(tmp_path: Path) -> None:
    (tmp_path / "_runs").mkdir()
    (tmp_path / "_runs" / "1.json").write_bytes(example("0.1/run_record.json"))
    (stored,) = read_records([tmp_path])
    assert (stored.record.job, stored.record.counts) == ("evaluate", {"evaluated": 254})


def test_a_bundle_of_version_0_1_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(example("0.1/bundle.json"))
    with pytest.raises(InputError, match=r"bundle.json can't be read \(it lacks .*\): run train again"):
        open_bundle(tmp_path)


def test_metrics_of_version_0_1_have_other_names_and_are_refused() -> None:
    with pytest.raises(ValidationError) as error:
        Metrics.parse(example("0.1/metrics.json"))
    assert problem_with(error.value) == "it lacks decision_threshold"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{}", "it lacks format"),
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "Input should be a valid dictionary or instance of Ledger"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_a_ledger_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "ledger.json").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_ledger(tmp_path)
    assert str(error.value) == (f"{tmp_path}: ledger.json can't be read ({problem}): run prepare again")
