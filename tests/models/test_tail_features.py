"""What the frozen tail net measures of real images."""

from pathlib import Path

import pytest
import torch

from tgn.data.image_set import ImageSet
from tgn.models import tail_features
from tgn.models.tail_features import TailNetOutput, within_class_distance
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


def pixels(images_pm1: torch.Tensor) -> TailNetOutput:
    return TailNetOutput(images_pm1[:, :, 0, 0], [images_pm1])


def test_every_tail_class_counts_the_same_in_the_distance_of_real_images(monkeypatch):
    def difference(first, second):
        return 127.5 * (first[0] - second[0]).abs().mean((1, 2, 3))

    monkeypatch.setattr(tail_features, "perceptual_distance", difference)
    head = [(value, 0) for value in range(0, 200, 2)]
    tail = [(10, 1), (20, 1), (50, 2), (80, 2), (7, 3)]
    images = grey(*head, *tail)
    # Pairs of different images: 10 apart in class 1, 30 in class 2; class 3 has no pair.
    found = within_class_distance(pixels, images, (1, 2, 3), DEVICE, seed=0)
    assert found == pytest.approx(20, rel=1e-5)
    with pytest.raises(UserError, match="no tail class has two training images.*diversity_weight"):
        within_class_distance(pixels, images, (3,), DEVICE, seed=0)
