import pytest
import torch

from tgn.metrics.prototype_distance import OWN_WEIGHT, prototype_limits


def normal(rows, seed, dimension=16):
    return torch.randn(rows, dimension, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    """Real images at 0, 2 and 4: each to the mean of the others 3, 0 and 3, over sqrt(3 / 2)."""
    real, labels = torch.tensor([[0.0], [2.0], [4.0]]), torch.zeros(3, dtype=torch.int64)
    generated = torch.tensor([[2.0], [8.0]])
    found = prototype_limits(generated, labels[:2], real, labels, percentile=0)
    assert found.distance.tolist() == pytest.approx([0, 6 / (4 / 3) ** 0.5])
    assert found.nearest.tolist() == [0, 0]
    # in units of the mean of the others 2, 0 and 2; the mean of all is 2 / sqrt(3 / 2)
    assert found.furthest.tolist() == pytest.approx([2 * 2 / 1.5**0.5] * 2)


def test_fresh_images_lie_within_the_limits_also_in_small_classes():
    """Whatever a class's number and spread, about 10% of fresh images are outside 5% and 95%."""
    numbers, spread = [200, 60, *[4] * 40], [1.0, 5.0, *[2.0] * 40]
    real_labels = torch.arange(len(numbers)).repeat_interleave(torch.tensor(numbers))
    real = normal(len(real_labels), 0) * torch.tensor(spread)[real_labels][:, None]
    labels = torch.arange(len(numbers)).repeat_interleave(100)
    fresh = normal(len(labels), 1) * torch.tensor(spread)[labels][:, None]
    found = prototype_limits(fresh, labels, real, real_labels, percentile=5)
    outside = (found.distance < found.nearest) | (found.distance > found.furthest)
    for part in (labels == 0, labels == 1, labels > 1):
        assert float(outside[part].double().mean()) == pytest.approx(0.1, abs=0.06)
    means = torch.stack([real[real_labels == k].mean(0) for k in range(len(numbers))])
    typical = prototype_limits(means[labels] + 0.1 * fresh, labels, real, real_labels, 5)
    assert (typical.distance < typical.nearest).all()
    strangers = prototype_limits(3 * fresh, labels, real, real_labels, 5)
    assert (strangers.distance > strangers.furthest).double().mean() > 0.95


def test_a_class_of_few_images_has_the_limits_of_all_the_more():
    real = torch.cat([normal(400, 0), 100 + normal(OWN_WEIGHT, 1, 1).expand(-1, 16)])
    real_labels = torch.tensor([0] * 400 + [1] * OWN_WEIGHT)
    labels = torch.tensor([0, 1, 2])
    ends = prototype_limits(torch.zeros(3, 16), labels, real, real_labels, 10)
    alone = prototype_limits(
        torch.zeros(1, 16), torch.tensor([1]), real[400:], real_labels[400:], 10
    )
    own = torch.tensor([float(alone.nearest[0]), float(alone.furthest[0])])
    ratio = float(ends.furthest[1]) / float(own[1])
    assert 0.4 < ratio < 1  # between its own long tail and the short one of class 0
    assert ends.furthest[2] == float("inf")  # no real image


def test_a_class_of_one_image_has_the_spread_of_the_others():
    real = torch.cat([normal(200, 0), 50 + normal(200, 1), normal(1, 2) - 50])
    real_labels = torch.tensor([0] * 200 + [1] * 200 + [2])
    fresh = real[-1] + 2**0.5 * normal(100, 3)  # as far from that one image as fresh ones are
    found = prototype_limits(fresh, torch.full((100,), 2), real, real_labels, 5)
    outside = (found.distance < found.nearest) | (found.distance > found.furthest)
    assert float(outside.double().mean()) == pytest.approx(0.1, abs=0.08)
