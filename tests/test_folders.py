from __future__ import annotations

from pathlib import Path

import pytest

from movierate_spark.errors import InputError
from movierate_spark.pipeline.folders import check_folder, check_table_folder

LEFT_BY_KILLED_RUNS = ("_runs", "run_date=2000-12-31", "0123456789abcdef0123456789abcdef", "_rejected")


def test_what_a_killed_run_has_left_is_no_strangers(tmp_path: Path) -> None:
    for name in LEFT_BY_KILLED_RUNS:
        (tmp_path / name).mkdir()
    check_table_folder(tmp_path, "--scores", {"_rejected"})
    with pytest.raises(InputError, match=r"--out .* holds something else \(_rejected\)"):
        check_table_folder(tmp_path, "--out")


@pytest.mark.parametrize("name", ["thesis.txt", "run_date=yesterday", "0123456789abcdef"])
def test_somebody_elses_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    refused = rf"--out .* holds something else \({name}\): name a new folder"
    for check in (check_folder, check_table_folder):
        with pytest.raises(InputError, match=refused):
            check(tmp_path, "--out")


def test_a_table_or_a_new_folder_may_be_written_to_but_no_file(tmp_path: Path) -> None:
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    (tmp_path / "file").touch()
    check_table_folder(tmp_path / "table", "--out")
    check_table_folder(tmp_path / "new", "--out")
    with pytest.raises(InputError, match="is a file: name a folder"):
        check_table_folder(tmp_path / "file", "--out")
