"""The notebook that comes with the documentation, run from top to bottom in a kernel of its own."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from helpers import INTERPRETED, ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
QUICK = {
    "MOVIERATE__TRAIN__FOLDS": "2",
    "MOVIERATE__TRAIN__REG_PARAM": "[0.003]",
    "MOVIERATE__TRAIN__REFIT": "false",
    "MOVIERATE__EVALUATE__RESAMPLES": "10",
    "PYSPARK_SUBMIT_ARGS": " ".join(
        [*(f"--conf {name}={value}" for name, value in INTERPRETED.items()), "pyspark-shell"]
    ),
}
CODE_CELLS = [
    "start", "simulate", "prepare", "rows", "stars", "explore", "train", "evaluate", "calibration", "predict",
    "recommend", "end",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart")


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, str]:
    """What each code cell shows, by the cell's id; a cell that raises is an error of the test."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for name in ("work", "temporary"):
        (folder / name).mkdir()
    places = {"TMPDIR": str(folder / "temporary"), "IPYTHONDIR": str(folder / "ipython")}
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder / "work")}})
    client.execute(env={**os.environ, **QUICK, **places})
    return {
        cell.id: "\n".join(map(_text, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"
    }


def _text(output: Any) -> str:
    if output.output_type == "stream":
        return f"{output.name}: {output.text}"
    return str(output.data.get("text/html", output.data["text/plain"]))


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code] == CODE_CELLS
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


@pytest.mark.end_to_end
def test_every_cell_runs_and_none_complains(shown: dict[str, str]) -> None:
    assert list(shown) == CODE_CELLS
    assert [name for name, text in shown.items() if re.search("^stderr: ", text, re.MULTILINE)] == []
    assert (shown["start"], shown["end"]) == ("", "")


@pytest.mark.end_to_end
def test_predictions_are_probabilities_with_reasons(shown: dict[str, str]) -> None:
    answers = re.findall(r"user (\d+) likes movie (\d+) with probability (\S+)", shown["predict"])
    assert [pair for *pair, _ in answers] == [["1", "10"], ["1", "20"], ["2", "10"], ["999999", "10"]]
    assert all(0 < float(p_like) < 1 for *_, p_like in answers)
    assert len({p_like for *_, p_like in answers}) > 1
    assert len(re.findall(r"^    [+-]\d+\.\d\d \w", shown["predict"], re.MULTILINE)) == 4 * 4


@pytest.mark.end_to_end
def test_the_chart_has_a_dot_for_each_tenth_of_the_ratings_and_needs_no_network(
    shown: dict[str, str],
) -> None:
    chart = shown["calibration"]
    drawn = chart[chart.rindex("Plotly.newPlot(") :]
    traces, _ = json.JSONDecoder().raw_decode(drawn, drawn.index("[{"))
    dots = [np.frombuffer(base64.b64decode(traces[1][axis]["bdata"])) for axis in ("x", "y")]
    assert [len(values) for values in dots] == [10, 10]
    assert all(((values >= 0) & (values <= 1)).all() for values in dots)
    assert (np.diff(dots[0]) > 0).all()
    assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", chart) == []


@pytest.mark.end_to_end
def test_nothing_is_left_behind(shown: dict[str, str], folder: Path) -> None:
    del shown
    assert list((folder / "work").iterdir()) == []
    assert list((folder / "temporary").iterdir()) == []
