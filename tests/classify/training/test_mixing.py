"""Mixup, CutMix and Remix: pixels and labels in the same ratio."""

import pytest
import torch

from classify.training.mixing import draw_blend, mix_images
from tgn.runtime.seeds import generator

COUNTS = torch.tensor([90, 10])
LABELS = torch.tensor([0, 1] * 32)


def images(size: int) -> torch.Tensor:
    """One-coloured images: the value is the number of the image."""
    return torch.arange(64.0).view(-1, 1, 1, 1).expand(-1, 3, size, size).clone()


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_have_the_share_of_the_pixels(kind, step):
    blend = draw_blend(kind, LABELS, COUNTS, 1.0, generator(0, "mix", step))
    mixed = mix_images(images(64), images(64)[blend.partner], blend)
    expected = blend.share * torch.arange(64) + (1 - blend.share) * blend.partner
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), expected, atol=1.5, rtol=0)
    again = draw_blend(kind, LABELS, COUNTS, 1.0, generator(0, "mix", step))
    assert torch.equal(again.partner, blend.partner)


def test_two_sensors_are_mixed_alike():
    blend = draw_blend("mixup", LABELS, COUNTS, 1.0, generator(0, "mix"))
    large, small = (
        mix_images(each, each[blend.partner], blend) for each in (images(64), images(16)[:, :1])
    )
    torch.testing.assert_close(large.mean(dim=(1, 2, 3)), small.mean(dim=(1, 2, 3)))


def test_remix_gives_the_rarer_class_the_label():
    for step in range(20):
        blend = draw_blend("remix", LABELS, COUNTS, 1.0, generator(0, "mix", step))
        lam, other = blend.own_pixels, LABELS[blend.partner]
        frequent = (LABELS == 0) & (other == 1)
        rare = (LABELS == 1) & (other == 0)
        assert blend.share[other == LABELS].eq(lam).all()
        assert blend.share[frequent].eq(0.0 if lam < 0.5 else lam).all()
        assert blend.share[rare].eq(1.0 if 1 - lam < 0.5 else lam).all()
