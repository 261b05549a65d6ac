import pytest
import torch

from tgn.metrics.equivalent_number import equivalent_number, isotonic

COUNTS = torch.tensor([0.0, 1.0, 5.0, 10.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([1, 3, 2], [1, 2.5, 2.5]),
        ([3, 2, 1], [2, 2, 2]),
        ([1, 4, 3, 2, 9], [1, 3, 3, 3, 9]),
        ([5], [5]),
    ],
)
def test_the_nearest_non_decreasing_sequence(values, expected):
    given = torch.tensor([values, values], dtype=torch.float64)
    torch.testing.assert_close(
        isotonic(given), torch.tensor([expected, expected], dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("reached", "expected"),
    [(0.4, 0), (0.5, 0), (0.55, 0.5), (0.6, 1), (0.7, 3), (0.9, 10), (0.95, float("inf"))],
)
def test_the_curve_is_read_backwards(reached, expected):
    curve = torch.tensor([0.5, 0.6, 0.8, 0.9])
    found = equivalent_number(COUNTS, curve, torch.tensor(reached))
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_a_curve_that_falls_at_first_does_not_make_nothing_worth_something():
    curve = torch.tensor([0.5, 0.45, 0.6, 0.55])
    assert equivalent_number(COUNTS, curve, torch.tensor(0.5)) == 0
    reached = equivalent_number(COUNTS, curve, torch.tensor(0.51))
    assert 1 < float(reached) < 2  # flat at 0.5 to the first image, then up to 0.575 at 5


def test_many_curves_at_once():
    curves = torch.tensor([[0.5, 0.6, 0.8, 0.9], [0.7, 0.7, 0.7, 0.8]])
    found = equivalent_number(COUNTS, curves, torch.tensor([0.7, 0.75]))
    torch.testing.assert_close(
        found, torch.tensor([3.0, 7.5], dtype=torch.float64), rtol=1e-5, atol=0
    )
