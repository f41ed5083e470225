from __future__ import annotations

from pathlib import Path

import pytest
from deliveries import write


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Requests of two pairs, and of a line that can't be read."""
    write(tmp_path / "requests.csv", ["user_id,movie_id", "1,2", "3,4", "x,5"])
    return tmp_path / "requests.csv"
