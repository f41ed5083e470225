from __future__ import annotations

import numpy as np

from movierate_spark.hashing import GOLDEN_GAMMA, mixed, uniform


def test_the_published_numbers_of_splitmix64_come_out() -> None:
    """The sequence of the seed 1234567 at https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64."""
    states = np.uint64(1234567) + GOLDEN_GAMMA * np.arange(1, 6, dtype=np.uint64)

    assert mixed(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_uniform_numbers_stay_below_one_and_fill_the_range_evenly() -> None:
    numbers = uniform(np.arange(100_000, dtype=np.uint64) * GOLDEN_GAMMA)

    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert abs(counts - 10_000).max() < 500
