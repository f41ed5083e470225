"""Runs of ``score`` that are killed, or held up, at a step of their publish."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

# Kills the process where a run comes to a step for the n-th time: before or after a function of a module.
KILLER = """
import os, signal, sys
from movierate_spark import cli
from movierate_spark.workflows import score as scoring
module, name, when, n = scoring, *sys.argv[1:4]
function, seen = getattr(module, name), 0
def killed(*args, **kwargs):
    global seen
    seen += 1
    last = seen == int(n)
    if last and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = function(*args, **kwargs)
    if last:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(module, name, killed)
cli.main(sys.argv[4:])
"""
# Runs score, and waits before its first commit until the folder has a file of each of two runs.
TOGETHER = """
import os, pathlib, sys, time
from movierate_spark import cli
from movierate_spark.workflows import score as scoring
folder, commit = pathlib.Path(sys.argv[1]), scoring.commit
def together(*args, **kwargs):
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.05)
    return commit(*args, **kwargs)
scoring.commit = together
cli.main(sys.argv[2:])
"""


def killed_at(
    step: Sequence[object], arguments: Sequence[object], variables: Mapping[str, str] | None = None
) -> None:
    """Run score until it is killed at a step: function, before or after, for the n-th time."""
    done = subprocess.run(
        [sys.executable, "-c", KILLER, *map(str, step), *map(str, arguments)],
        env=None if variables is None else dict(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
