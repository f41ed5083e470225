from __future__ import annotations

from pathlib import Path

import pytest

from movierate_spark.cli import examination
from movierate_spark.cli.execution import execute


def test_an_interrupted_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(examination, "examine", interrupted)
    assert execute(["doctor"]) == 130
    line = "movierate doctor: interrupted: what was published stays; run it again for the rest\n"
    assert capsys.readouterr().err == line


def test_a_container_has_the_memory_of_its_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits = {"small": f"{2 * 2**30}\n", "none": "max\n", "huge": str(2**62)}
    for name, text in limits.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(
        examination, "CONTAINER_LIMITS", [tmp_path / name for name in ("none", "huge", "absent")]
    )
    whole = examination.memory()
    monkeypatch.setattr(examination, "CONTAINER_LIMITS", [tmp_path / name for name in limits])
    limited = examination.memory()
    assert (limited.fine, limited.value.split(",")[0]) == (False, "2.0 GB")
    assert whole.value != limited.value
