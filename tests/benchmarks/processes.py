"""How long a command takes, and how much memory its processes hold at most."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyspark

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from movierate_spark.cli import main; main(sys.argv[1:])"
INTERVAL_S = 0.5


@dataclass
class Usage:
    """Seconds of a command, with the interpreter's and Spark's start, and its peak memory in MB by kind.

    The kinds are ``driver``, ``jvm`` and ``workers``: what is resident, shared pages counted in each process.
    ``figures`` are what the command measures itself, and prints as JSON in its last line.
    """

    seconds: float = 0.0
    peak_mb: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: Usage) -> Usage:
        """One after the other."""
        kinds = {**self.peak_mb, **other.peak_mb}
        peaks = {kind: max(self.peak_mb.get(kind, 0), other.peak_mb.get(kind, 0)) for kind in kinds}
        return Usage(self.seconds + other.seconds, peaks, {**self.figures, **other.figures})


def write_figures(path: Path | None, **figures: Any) -> None:
    """Write figures with the machine that they are of as JSON, if a path is given; a usage as its fields."""
    if path is None:
        return
    machine = {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "pyspark": pyspark.__version__,
    }
    path.write_text(json.dumps({"machine": machine, **figures}, indent=2, default=vars) + "\n")


def movierate(*arguments: object, tree: Path = ROOT, environment: Mapping[str, str] | None = None) -> Usage:
    """Run a job of the package in ``tree``."""
    variables = {"PYTHONPATH": str(tree), **(environment or {})}
    return run([sys.executable, "-c", COMMAND, *map(str, arguments)], environment=variables)


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Usage:
    """Run a command that must succeed."""
    usage, ended = Usage(), threading.Event()
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watching = threading.Thread(target=_watch, args=(process.pid, usage, ended))
    watching.start()
    output, _ = process.communicate()
    usage.seconds = time.perf_counter() - began
    ended.set()
    watching.join()
    if process.returncode:
        raise SystemExit(f"bench: {' '.join(command)}: {output}")
    last = output.rstrip().rpartition("\n")[2]
    usage.figures = json.loads(last) if last.startswith("{") else {}
    return usage


def _watch(pid: int, usage: Usage, ended: threading.Event) -> None:
    while not ended.wait(INTERVAL_S):
        try:
            driver = psutil.Process(pid)
            processes = [driver, *driver.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        now: dict[str, int] = {}
        for process in processes:
            try:
                if kind := _kind(process, driver):
                    now[kind] = now.get(kind, 0) + process.memory_info().rss // 2**20
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        for kind, held in now.items():
            usage.peak_mb[kind] = max(held, usage.peak_mb.get(kind, 0))


def _kind(process: psutil.Process, driver: psutil.Process) -> str | None:
    """The kind of a process; None for a fork of the JVM that is about to run another program.

    Such a fork has its parent's command line, and shares all memory with it.
    """
    if process == driver:
        return "driver"
    if Path(process.exe()).name != "java":
        return "workers"
    parent = process.parent()
    is_fork = parent is not None and parent.cmdline() == process.cmdline()
    return None if is_fork else "jvm"
