"""The checks of ``doctor``: each says what it found and, if that is wrong, what to do."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from movierate_spark.config import conf_dir

JAVA_VERSIONS = (17, 21)
LEAST_MEMORY_GB = 3.5
"""What a machine of 4 GB has for programs, at least."""


CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Of control groups, version 2 and 1."""


@dataclass(frozen=True)
class Finding:
    """The result of a check; ``remedy`` says what to do if it is not ``fine``."""

    subject: str
    fine: bool
    value: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Run all checks, in the order in which a run would fail."""
    installed = pyspark()
    started = [spark()] if installed.fine else []
    return [python(), java(), installed, *started, memory(), time_zone(), settings(), temporary_folder()]


def python() -> Finding:
    """Python 3.11 or newer."""
    return Finding(
        "Python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer"
    )


def java() -> Finding:
    """Java 17 or 21, from JAVA_HOME or else the PATH, as Spark looks for it."""
    remedy = "install Java 17 or 21 (Debian, Ubuntu: apt-get install openjdk-21-jre-headless, or 17)"
    home = os.environ.get("JAVA_HOME")
    command = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not command or not shutil.which(command):
        return Finding("Java", False, f"none at {command}" if command else "none on the PATH", remedy)
    output = subprocess.run([command, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    match = re.search(r'version "(\d+)[^"]*"', output)
    number = int(match.group(1)) if match else 0
    return Finding("Java", number in JAVA_VERSIONS, f"{number or 'unreadable'} at {command}", remedy)


def pyspark() -> Finding:
    """PySpark 4.1 or newer."""
    try:
        from pyspark.version import __version__ as installed
    except ModuleNotFoundError:
        return Finding("PySpark", False, "not installed", "pip install 'pyspark>=4.1,<4.4'")
    numbers = tuple(int(part) for part in re.findall(r"\d+", installed)[:2])
    return Finding("PySpark", numbers >= (4, 1), installed, "pip install 'pyspark>=4.1,<4.4'")


def spark() -> Finding:
    """Spark itself, of PySpark's version: an archive for a cluster has only PySpark."""
    from movierate_spark.session import spark_home, spark_problem, spark_version

    version = spark_version()
    value = f"{version} in {spark_home()}" if version else "none"
    problem = spark_problem(version)
    return Finding("Spark", problem is None, value, problem or "")


def memory() -> Finding:
    """Enough memory for a local run."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = min([machine, *_limits_of_container()]) / 2**30
    value = f"{size:.1f} GB, {len(os.sched_getaffinity(0))} cores"
    return Finding("memory", size >= LEAST_MEMORY_GB, value, "use a machine with 4 GB")


def _limits_of_container() -> list[int]:
    """The memory in bytes that a container may use, if this is one with a limit."""
    files = [file for file in map(Path, CONTAINER_LIMITS) if file.is_file()]
    texts = [file.read_text(encoding="utf-8").strip() for file in files]
    return [int(text) for text in texts if text.isdigit()]


def time_zone() -> Finding:
    """Any time zone will do, as Spark runs in UTC."""
    return Finding("time zone", True, "times are UTC, whatever this machine's time zone is")


def settings() -> Finding:
    """The default settings are there."""
    folder = conf_dir()
    return Finding("settings", (folder / "base.toml").is_file(), str(folder), "install the package again")


def temporary_folder() -> Finding:
    """Spark can spill to the temporary folder."""
    folder = Path(os.environ.get("SPARK_LOCAL_DIRS", tempfile.gettempdir()).split(",")[0])
    if not os.access(folder, os.W_OK):
        return Finding("scratch", False, f"{folder} is not writable", "set SPARK_LOCAL_DIRS to another")
    free = shutil.disk_usage(folder).free / 2**30
    remedy = "free some space, or set SPARK_LOCAL_DIRS to a larger disk"
    return Finding("scratch", free >= 2, f"{folder}, {free:.0f} GB free", remedy)
