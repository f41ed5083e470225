"""How wide intervals are: the samples they hold for, and their standard errors on either side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special  # stats would take every Python worker a second to load

CONFIDENCE = 0.95
"""The share of samples whose interval holds what is estimated, in every interval of this project."""
TAIL = (1 - CONFIDENCE) / 2
"""The chance that what is estimated lies below an interval; as great as that it lies above."""
NORMAL_ERRORS = -float(special.ndtri(TAIL))
"""Standard errors on either side of an estimate that is normally distributed."""


def t_errors(people: Any, *, tail: Any = TAIL) -> NDArray[np.float64]:
    """Standard errors on either side of a mean over ``people`` (a number or several), by Student's t.

    One person is taken for two, as a standard error over one is not known anyway.
    """
    return np.asarray(-special.stdtrit(np.maximum(people - 1, 1), tail), dtype=float)
