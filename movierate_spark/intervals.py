"""The width of intervals: their confidence, and the standard errors on either side of an estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special  # importing stats would take a second in every Python worker

CONFIDENCE = 0.95
"""The confidence of all intervals: the share of samples whose interval contains the true value."""
TAIL = (1 - CONFIDENCE) / 2
"""The probability that the true value is below an interval, and that it is above."""
NORMAL_ERRORS = -float(special.ndtri(TAIL))
"""Standard errors on either side of a normally distributed estimate."""


def t_errors(people: Any, *, tail: Any = TAIL) -> NDArray[np.float64]:
    """Standard errors on either side of a mean over ``people`` (a number or an array), by Student's t.

    For fewer than two people it is the value for two, as the standard error is not known then.
    """
    return np.asarray(-special.stdtrit(np.maximum(people - 1, 1), tail), dtype=float)
