from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from movierate_spark.intervals import NORMAL_ERRORS, t_errors


def test_standard_errors_on_either_side_are_those_of_the_tables_of_95_percent() -> None:
    assert pytest.approx(1.959964, abs=1e-6) == NORMAL_ERRORS
    assert float(t_errors(11)) == pytest.approx(2.228139, abs=1e-6)
    assert t_errors(pd.Series([2, 1_000_000])) == pytest.approx([12.706205, 1.959966], abs=1e-6)


def test_one_person_is_taken_for_two_and_each_may_have_a_tail_of_his_own() -> None:
    assert t_errors(pd.Series([1]))[0] == t_errors(pd.Series([2]))[0]
    tails = t_errors(pd.Series([11, 11]), tail=np.array([0.025, 0.05]))
    assert tails == pytest.approx([2.228139, 1.812461], abs=1e-6)
