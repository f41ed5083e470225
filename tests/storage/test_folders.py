from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from deltalake import Schema
from deltalake.transaction import create_table_with_add_actions
from documents import manifest_content
from pyspark.sql.types import DateType, LongType, StringType, StructField, StructType

from movierate_spark.errors import InputError
from movierate_spark.model import bundle
from movierate_spark.model.bundle import check_model_folder
from movierate_spark.report import Report
from movierate_spark.report import folder as reporting
from movierate_spark.schemas import RECOMMENDATIONS, SCORES
from movierate_spark.storage import files
from movierate_spark.storage.folders import check_folder, lake_to_write, table_to_write
from movierate_spark.storage.locations import location_of
from movierate_spark.storage.tables import is_delta_table
from movierate_spark.workflows.vacuum import vacuum_folder

ATTEMPT = "0123456789abcdef0123456789abcdef"
LEFT_BY_KILLED_RUNS = (
    "_runs",
    "_delta_log",
    "run_date=2000-12-31",
    ATTEMPT,
    f".report.html.{ATTEMPT}",
    "_rejected",
)


def test_the_output_of_a_killed_run_is_accepted(tmp_path: Path) -> None:
    for name in LEFT_BY_KILLED_RUNS:
        (tmp_path / name).mkdir()
    table_to_write(tmp_path, "scores", SCORES, {"_rejected"})
    with pytest.raises(InputError, match=r"^/.* holds something else \(_rejected\)") as refused:
        table_to_write(tmp_path, "out", RECOMMENDATIONS)
    assert refused.value.argument == "out"


@pytest.mark.parametrize("name", ["thesis.txt", "run_date=yesterday", "0123456789abcdef"])
def test_a_folder_with_other_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    refused = rf"^{re.escape(str(tmp_path))} holds something else \({name}\): name a new folder"
    with pytest.raises(InputError, match=refused):
        check_folder(tmp_path, "out")
    with pytest.raises(InputError, match=refused):
        table_to_write(tmp_path, "out", SCORES)


def test_a_table_or_a_new_folder_may_be_written_to_but_no_file(tmp_path: Path) -> None:
    new_table(tmp_path / "table", SCORES, partition_by=["run_date"])
    (tmp_path / "table" / "_rejected").mkdir()
    (tmp_path / "file").touch()
    table_to_write(tmp_path / "table", "out", SCORES)
    table_to_write(tmp_path / "new", "out", SCORES)
    with pytest.raises(InputError, match="is a file: name a folder"):
        table_to_write(tmp_path / "file", "out", SCORES)


def new_table(path: Path, schema: StructType, *, partition_by: list[str]) -> None:
    """A table without rows."""
    path.mkdir(parents=True)
    create_table_with_add_actions(
        str(path), Schema.from_json(schema.json()), [], mode="error", partition_by=partition_by
    )


X, DATE = StructField("x", LongType()), StructField("run_date", DateType())
ROWS, DATED_ROWS = StructType([X]), StructType([X, DATE])


@pytest.mark.parametrize(
    ("lies_there", "partition_by", "description"),
    [
        ([DATE, X], [], r"\(run_date date, x bigint\) lies there"),
        ([X, DATE], ["x"], r"\(x bigint, run_date date\) partitioned by x lies there"),
        ([StructField("x", StringType()), DATE], ["run_date"], r"\(x string, run_date date\) partitioned"),
        ([X], [], r"\(x bigint\) lies there"),
    ],
)
def test_a_table_with_another_schema_is_refused(
    tmp_path: Path, lies_there: list[StructField], partition_by: list[str], description: str
) -> None:
    new_table(tmp_path / "t", StructType(lies_there), partition_by=partition_by)
    expected = r".*; expected one of \(x bigint, run_date date\) partitioned by run_date: name another folder"
    with pytest.raises(InputError, match=f"^/.*t: a table of {description}{expected}"):
        table_to_write(tmp_path / "t", "out", DATED_ROWS)


def test_column_order_and_nullability_do_not_matter(tmp_path: Path) -> None:
    new_table(
        tmp_path / "t", StructType([DATE, StructField("x", LongType(), False)]), partition_by=["run_date"]
    )
    table_to_write(tmp_path / "t", "out", DATED_ROWS)


def test_a_lake_with_a_table_of_another_schema_is_refused(tmp_path: Path) -> None:
    new_table(tmp_path / "lake" / "users", ROWS, partition_by=[])
    with pytest.raises(InputError, match=r"^/.*users: a table of \(x bigint\) lies there") as refused:
        lake_to_write(tmp_path / "lake")
    assert refused.value.argument == "lake"


def test_a_lake_and_a_model_that_were_half_written_may_be_written_again(tmp_path: Path) -> None:
    for name in (f".ledger.json.{ATTEMPT}", "ratings"):
        (tmp_path / "lake" / name).mkdir(parents=True)
    for name in (f".bundle.json.{ATTEMPT}", "20001231T000000-01234567"):
        (tmp_path / "model" / name).mkdir(parents=True)
    lake_to_write(tmp_path / "lake")
    check_model_folder(tmp_path / "model")
    for check in (lake_to_write, check_model_folder):
        (tmp_path / "thesis").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="holds something else"):
            check(tmp_path)


@pytest.mark.parametrize("written", range(4))
def test_a_report_that_was_half_written_may_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    report = Report("<html>figures/a.csv</html>", {name: pd.DataFrame({"n": [1]}) for name in "ab"})
    write, left = reporting.replace_text, [written]

    def killed(path: Path, text: str) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(path, text)

    monkeypatch.setattr(reporting, "replace_text", killed)
    if written < 3:
        with pytest.raises(KeyboardInterrupt):
            reporting.leave_report(tmp_path / "out", report)
    monkeypatch.setattr(reporting, "replace_text", write)
    reporting.check_free(tmp_path / "out", reporting.REPORT_FILES)
    reporting.leave_report(tmp_path / "out", report)
    assert sorted(file.name for file in (tmp_path / "out").rglob("*.*")) == ["a.csv", "b.csv", "report.html"]


def test_a_control_file_is_on_the_disk_before_it_has_its_name_and_its_name_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        done.append(f"sync {re.sub(r'[0-9a-f]{32}', 'UNIQUE', name)}")
        fsync(descriptor)

    def replaced(old: Path, new: Path) -> Path:
        done.append(f"name {new.name}, of {old.stat().st_size} bytes")
        return replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    (tmp_path / "lake").mkdir()
    files.replace_text(tmp_path / "lake" / "ledger.json", "{}\n")
    assert done == ["sync .ledger.json.UNIQUE", "name ledger.json, of 3 bytes", "sync lake"]


def test_a_folder_that_cannot_be_flushed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def refused(path: Path, *options: int) -> int:
        if Path(path).is_dir():
            raise OSError("Invalid argument")
        return really(path, *options)

    monkeypatch.setattr(os, "open", refused)
    files.replace_text(tmp_path / "ledger.json", "{}")
    assert (tmp_path / "ledger.json").read_text() == "{}"


class Saved:
    """A pipeline that writes a file when it is saved, then calls ``then``."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.then = then

    def write(self) -> Saved:
        return self

    def save(self, path: str) -> None:
        folder = cast("Path", location_of(path))
        folder.mkdir()
        (folder / "stage").touch()
        self.then()


def test_a_bundle_that_fails_leaves_what_another_training_has_put_there(tmp_path: Path) -> None:
    other = tmp_path / "model" / "20001231T000000-01234567"

    def fail() -> None:
        other.mkdir()
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        bundle.save_bundle(tmp_path / "model", cast("Any", Saved(fail)), manifest_content())
    assert list((tmp_path / "model").iterdir()) == [other]


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_bundle_stays_where_nobody_can_tell_whether_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    read, manifest = Path.read_text, tmp_path / "model" / "bundle.json"

    def stale(path: Path, *arguments: Any, **more: Any) -> str:
        if path == manifest and content is None:
            raise OSError("Stale file handle")
        return read(path, *arguments, **more)

    def failed(*_: object) -> None:
        manifest.write_text(content or "")
        raise OSError("Stale file handle")

    monkeypatch.setattr(bundle, "replace_text", failed)
    monkeypatch.setattr(Path, "read_text", stale)
    with pytest.raises(OSError, match="Stale file handle"):
        bundle.save_bundle(tmp_path / "model", cast("Any", Saved()), manifest_content())
    assert len(list((tmp_path / "model").glob("*/pipeline/stage"))) == 1


def test_a_table_of_a_lake_is_not_cleared_without_its_ledger(tmp_path: Path) -> None:
    new_table(tmp_path / "lake" / "users", ROWS, partition_by=[])
    (tmp_path / "lake" / "ledger.json").touch()
    with pytest.raises(InputError, match=r"users: a lake's table, .*: name the lake"):
        vacuum_folder(tmp_path / "lake" / "users", retention_hours=0)


def test_a_log_that_cannot_be_listed_is_not_taken_for_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_table(tmp_path / "t", ROWS, partition_by=[])

    def refused(_: Path) -> object:
        raise PermissionError("for now")

    monkeypatch.setattr(Path, "iterdir", refused)
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError, match="for now"):
        is_delta_table(tmp_path / "t")


def older(path: Path, *, hours: float) -> None:
    then = time.time() - hours * 3600
    for file in (path, *path.rglob("*")):
        os.utime(file, (then, then))


def test_a_bundle_is_as_old_as_its_replacement_and_not_as_its_making(tmp_path: Path) -> None:
    model = tmp_path / "model"
    earlier = bundle.save_bundle(model, cast("Any", Saved()), manifest_content())
    killed = model / "29991231T000000-01234567"
    killed.mkdir()
    older(model, hours=200)
    current = bundle.save_bundle(model, cast("Any", Saved()), manifest_content(decision_threshold=0.4))
    assert vacuum_folder(model, retention_hours=168) == [killed]
    assert (model / earlier.version).is_dir()
    older(model / earlier.version, hours=169)
    older(model / "bundle.json", hours=169)
    assert vacuum_folder(model, retention_hours=168) == [model / earlier.version]
    assert (model / current.version).is_dir()


@pytest.mark.parametrize(("later", "stays"), [("current", True), ("never published", False)])
def test_a_bundle_that_was_replaced_by_an_earlier_version_of_ours_is_as_old_as_the_next_one(
    tmp_path: Path, later: str, stays: bool
) -> None:
    names = ["20000101T000000-00000000", "20000102T000000-00000000", "20000103T000000-00000000"]
    for name in names:
        (tmp_path / name).mkdir()
        older(tmp_path / name, hours=200)
    current = names[1] if later == "current" else names[2]
    (tmp_path / "bundle.json").write_text(json.dumps({"folder": current}))
    first = tmp_path / names[0]
    assert (first in vacuum_folder(tmp_path, retention_hours=168)) is not stays
    assert first.is_dir() is stays


def test_a_bundle_that_is_named_already_stays_whatever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = bundle.replace_text

    def interrupted(path: Path, text: str) -> None:
        write(path, text)
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "replace_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bundle.save_bundle(tmp_path / "model", cast("Any", Saved()), manifest_content())
    named = json.loads((tmp_path / "model" / "bundle.json").read_text())
    assert [file for file in named["files"] if not (tmp_path / "model" / file).is_file()] == []
    assert len(named["files"]) == 1
