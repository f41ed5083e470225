"""Errors of the library: what they say to a caller, and what the command line makes of them."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from helpers import ROOT

import movierate_spark as mr
from movierate_spark.cli.app import app
from movierate_spark.cli.execution import option_of
from movierate_spark.storage.lake import read_ledger

LIBRARY = [
    path
    for path in sorted((ROOT / "movierate_spark").rglob("*.py"))
    if not path.is_relative_to(ROOT / "movierate_spark" / "cli")
]


def literals(node: ast.AST) -> Iterator[str]:
    """The texts in a piece of code, those of f-strings included."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def test_the_library_names_no_options() -> None:
    mentions = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in LIBRARY
        for text in literals(ast.parse(path.read_text(encoding="utf-8")))
        if re.search(r"(?<![\w-])--[a-z]", text)
    }
    assert mentions == set()


def test_every_argument_that_the_library_names_is_an_option_of_a_command() -> None:
    named = {
        text
        for path in LIBRARY
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "argument"
        for text in literals(node.value)
    }
    commands = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    options = {option for command in commands for each in command.params for option in each.opts}
    assert {"lake", "model", "requests", "source"} <= named
    assert {name for name in named if option_of(name) not in options} == set()


def test_an_error_of_the_library_says_what_is_wrong_and_which_argument(tmp_path: Path) -> None:
    with pytest.raises(mr.InputError) as refused:
        read_ledger(tmp_path / "none")
    assert str(refused.value) == f"{tmp_path}/none: no lake there (ledger.json is missing): run prepare"
    assert refused.value.argument == "lake"


def test_an_error_without_an_argument_is_about_none() -> None:
    assert mr.InputError("settings: no").argument is None


def test_an_error_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(mr.InputError("x: no lake there", argument="lake")))
    assert (type(copy), str(copy), copy.argument) == (mr.InputError, "x: no lake there", "lake")
