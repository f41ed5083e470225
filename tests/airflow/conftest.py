"""Where things are; a real Airflow has its home in a folder that is gone when the tests are over."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "conf" / "airflow"
AIRFLOW = Path(sys.executable).parent / "airflow"
BIN = ROOT / ".venv" / "bin"
HOME = Path(tempfile.mkdtemp(prefix="movierate-airflow-"))
FOLDERS = {
    name: str(HOME / name) for name in ("input", "lake", "model", "requests", "scores", "recommendations")
}
ENVIRONMENT = HOME / "environment"
"""What ``make dist`` packs: the package's own Python, the jobs and the settings."""
SPARK = next(BIN.parent.glob("lib/python*/site-packages/pyspark"))
SETTINGS = {"home": str(ENVIRONMENT), **FOLDERS}


def pytest_configure() -> None:
    """Airflow reads its settings once, when it is imported."""
    os.environ.update(
        AIRFLOW_HOME=str(HOME / "airflow"),
        AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        PYTHONDONTWRITEBYTECODE="1",
    )
    ENVIRONMENT.mkdir()
    for part in (*BIN.parent.glob("[bl]i[nb]"), BIN.parent / "pyvenv.cfg", ROOT / "jobs", ROOT / "conf"):
        (ENVIRONMENT / part.name).symlink_to(part)
    # Tests that are terminated stop their servers, as interrupted ones do.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
