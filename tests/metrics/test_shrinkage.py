"""Empirical Bayes against numbers worked by hand."""

import pytest
import torch

from tgn.metrics.shrinkage import moderated_variances, shrunk

INF = float("inf")


def test_equal_errors_by_hand():
    """x = 0, 2, 4 with v = 1: mean 2, tau^2 = 8 / 2 - 1 = 3, so 3/4 of the way is kept."""
    found = shrunk(torch.tensor([0.0, 2.0, 4.0]), torch.ones(3))
    assert found.mean.tolist() == pytest.approx([0.5, 2.0, 3.5])
    # 3/4 of the own variance, and 1/4 squared of that of the mean, (1 + 3) / 3
    assert found.deviation.tolist() == pytest.approx([(0.75 + 4 / 3 / 16) ** 0.5] * 3)


def test_classes_that_agree_share_their_mean_whatever_their_errors():
    found = shrunk(torch.tensor([1.0, 1.1, 0.9]), torch.tensor([4.0, 4.0, 2.0]))
    expected = (1 / 4 + 1.1 / 4 + 0.9 / 2) / 1.0
    assert found.mean.tolist() == pytest.approx([expected] * 3)
    assert found.deviation.tolist() == pytest.approx([1.0] * 3)  # 1 / (1/4 + 1/4 + 1/2)


def test_the_rougher_a_measurement_the_more_it_is_drawn_to_the_mean():
    found = shrunk(torch.tensor([0.0, 10.0, 10.0, 0.0]), torch.tensor([1.0, 1.0, 9.0, 9.0])).mean
    assert 0 < found[0] < found[3] < found[2] < found[1] < 10


def test_without_a_measurement_a_class_is_like_the_others():
    found = shrunk(torch.tensor([0.0, 2.0, 4.0, float("nan")]), torch.tensor([1.0, 1.0, 1.0, INF]))
    assert found.mean.tolist() == pytest.approx([0.5, 2.0, 3.5, 2.0])
    assert float(found.deviation[3]) == pytest.approx((3 + 4 / 3) ** 0.5)
    nothing = shrunk(torch.zeros(2), torch.full((2,), INF))
    assert nothing.mean.tolist() == [0, 0]
    assert nothing.deviation.tolist() == [INF, INF]


def test_one_class_and_errors_of_nothing():
    one = shrunk(torch.tensor([3.0]), torch.tensor([4.0]))
    assert (float(one.mean), float(one.deviation)) == pytest.approx((3, 2))
    exact = shrunk(torch.tensor([1.0, 3.0]), torch.zeros(2))
    assert exact.mean.tolist() == pytest.approx([1, 3])


def test_variances_of_few_images_are_drawn_to_the_pooled_one():
    """Pooled (1 * 0 + 3 * 8) / 4 = 6; it counts as four images."""
    found = moderated_variances(torch.tensor([0.0, 8.0, 5.0]), torch.tensor([2, 4, 1]))
    assert found.tolist() == pytest.approx([4 * 6 / 5, (4 * 6 + 3 * 8) / 7, 6])
    assert moderated_variances(torch.ones(2), torch.tensor([1, 0])).tolist() == [INF, INF]
