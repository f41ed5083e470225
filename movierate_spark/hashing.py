"""SplitMix64: numbers that look random and follow from a whole number alone, the same on every machine.

Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInts = NDArray[np.uint64]
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def mixed(x: UInts) -> UInts:
    """The bits of each number mixed: another number for each, of which every bit depends on all of ``x``."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(x: UInts) -> NDArray[np.float64]:
    """For each number one from 0 to 1 (exclusive), from its 53 highest bits after :func:`mixed`."""
    return np.asarray((mixed(x) >> np.uint64(11)).astype(np.float64) / 2**53)
