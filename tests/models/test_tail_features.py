"""What is measured of real images: how much they differ, and random views of them."""

from pathlib import Path

import pytest
import torch

from tgn.data.image_set import ImageSet
from tgn.models import tail_features
from tgn.models.tail_features import random_views, within_class_distance
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.settings import ComputeSettings

DEVICE = Device(ComputeSettings(device="cpu", precision="float32"))


def grey(*values: tuple[int, int]) -> ImageSet:
    """Return images of one grey value each, from (value, class)."""
    images = ImageSet([Path(str(i)) for i in range(len(values))], [k for _, k in values], 4)
    images._cache = torch.tensor([value for value, _ in values])[:, None, None, None]
    images._cache = images._cache.expand(-1, 3, 4, 4).to(torch.uint8)
    return images


def test_every_tail_class_counts_the_same_in_the_distance_of_real_images(monkeypatch):
    def difference(first, second):
        return 127.5 * (first[0] - second[0]).abs().mean((1, 2, 3))

    monkeypatch.setattr(tail_features, "perceptual_distance", difference)
    head = [(value, 0) for value in range(0, 200, 2)]
    tail = [(10, 1), (20, 1), (50, 2), (80, 2), (7, 3)]
    images = grey(*head, *tail)
    # Pairs of different images: 10 apart in class 1, 30 in class 2; class 3 has no pair.
    found = within_class_distance(lambda real: [real], images, (1, 2, 3), DEVICE, seed=0)
    assert found == pytest.approx(20, rel=1e-5)
    with pytest.raises(UserError, match="no tail class has two training images.*diversity_weight"):
        within_class_distance(lambda real: [real], images, (3,), DEVICE, seed=0)


def views(images: ImageSet, seed: int = 0, **more: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return grey values and classes of all views, and check that they stay in parts."""
    parts = [*random_views(images, DEVICE, seed, **more)]
    assert all(len(turned) == len(rows) <= 128 for turned, rows in parts)
    turned, rows = (torch.cat(each) for each in zip(*parts, strict=True))
    return (turned[:, 0, 0, 0] * 127.5 + 127.5).round().int(), images.labels[rows]


def test_random_views_give_every_class_its_share(monkeypatch):
    monkeypatch.setattr(tail_features, "SAMPLED_IMAGES", 150)
    images = grey(*((value, 0) for value in range(200)), *((200 + value, 1) for value in range(5)))
    values, labels = views(images)
    assert labels.bincount().tolist() == [75, 5]
    assert (labels == (values >= 200)).all()  # each image with its class
    assert len(values.unique()) == len(values)
    assert not torch.equal(labels, labels.sort().values)  # in random order
    assert torch.equal(views(images)[0], values)
    assert not torch.equal(views(images, seed=1)[0], values)
    monkeypatch.setattr(tail_features, "SAMPLED_IMAGES", 6)
    assert views(images)[1].bincount().tolist() == [3, 3]
    assert views(images, per_class=4)[1].bincount().tolist() == [4, 4]


def test_random_views_are_turned():
    images = grey(*[(0, 0)] * 64)
    images._cache = images._cache.contiguous()
    images._cache[:, :, 0, 1] = 255  # no symmetry leaves it where it is, but one
    turned = torch.cat([part for part, _ in random_views(images, DEVICE, 0)])
    places = {tuple((image[0] > 0).nonzero()[0].tolist()) for image in turned}
    assert places == {(0, 1), (0, 2), (1, 0), (2, 0), (3, 1), (3, 2), (1, 3), (2, 3)}
