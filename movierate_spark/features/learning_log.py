"""The ratings that the taste tables are learnt from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame

from movierate_spark.features.earlier import Floats, Ints

Deviate = Callable[[Ints, Floats], Ints]
"""From residuals and users' levels to deviations: :func:`movierate_spark.features.pairs.deviations`."""


@dataclass(frozen=True)
class RatingLog:
    """Ratings to learn from: user_id, movie_id, ``second``, ``residual`` and ``user_residual``.

    A row per rating, replaced ones too. ``movie_id`` are the movies' ids, ascending; ``begins`` the first
    seconds of block 1, 2, ...
    """

    ratings: DataFrame
    movie_id: Ints
    begins: Ints


def pair_numbers(user: Ints, movie: Ints, movies: int) -> Ints:
    """A number for each user and movie. Rows of a user follow one another."""
    number = np.cumsum(np.concatenate([[0], user[1:] != user[:-1]])) if len(user) else user
    return np.asarray(number * movies + movie, dtype=np.int64)
