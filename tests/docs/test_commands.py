"""The commands that README shows."""

from __future__ import annotations

import re
import shlex

from helpers import ROOT

from movierate_spark.cli.execution import command_names, problem_with_usage

COMMAND = re.compile(r"^(?:movierate |.*\bjobs/)?([a-z]+)(?:\.py)?(?= |$)(.*)", re.MULTILINE)
"""``movierate NAME ...``, ``spark-submit ... jobs/NAME.py ...`` or a line of a batch: ``NAME ...``."""


def readme_commands() -> list[list[str]]:
    """The words of each command in a block of code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ")
    commands = (match.groups() for match in COMMAND.finditer(lines))
    return [[name, *shlex.split(rest, comments=True)] for name, rest in commands if name in command_names()]


def test_readme_shows_each_command_with_options_that_it_takes() -> None:
    commands = readme_commands()
    assert {words[0] for words in commands} == command_names()
    problems = {" ".join(words): problem_with_usage(words) for words in commands}
    assert {line: problem for line, problem in problems.items() if problem} == {}
