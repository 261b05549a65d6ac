"""The interval of a mean over generators and seeds."""

import numpy as np
import pytest
from scipy import stats

from tgn.metrics.two_way_interval import two_way_interval


def test_one_row_is_students_interval_of_the_columns():
    values = [1.0, 2.0, 4.0, 5.0]
    expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert two_way_interval([values])[1:] == pytest.approx(expected)
    assert two_way_interval([[v] for v in values])[1:] == pytest.approx(expected)


def test_a_table_by_hand():
    # Rows 1, 3; columns 0, 4 (deviations -2, 2); rest 0: MS_rows 4, MS_columns 16, MS_rest 0.
    table = [[-1.0, 3.0], [1.0, 5.0]]
    square, freedom = 20.0, 20.0**2 / (4.0**2 + 16.0**2)
    half = stats.t.ppf(0.975, freedom) * (square / 4) ** 0.5
    assert two_way_interval(table) == pytest.approx((2.0, 2 - half, 2 + half))


def test_one_value_has_no_interval():
    mean, low, high = two_way_interval([[3.0]])
    assert mean == 3
    assert np.isnan([low, high]).all()


def test_nineteen_of_twenty_intervals_hold_the_mean():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        table = rng.normal(size=(3, 1)) + rng.normal(size=(1, 5)) + rng.normal(size=(3, 5))
        _, low, high = two_way_interval(table)
        held += low <= 0 <= high
    assert 0.92 <= held / 400 <= 1
