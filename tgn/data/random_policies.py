"""Random augmentation policies of torchvision, image by image, each by a seed of its own."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

PolicyName = Literal["randaugment", "trivial"]


def apply_policy(name: PolicyName, images_u8: Tensor, seeds: Sequence[int]) -> Tensor:
    """Change each image at random.

    ``randaugment``: two operations of magnitude 9 of 30 (Cubuk et al. 2020, arXiv 1909.13719);
    ``trivial``: one of random magnitude from the wide range (Müller and Hutter 2021, arXiv
    2103.10158); both as torchvision has them.

    Args:
        name: of the policy.
        images_u8: [B, 1 or 3, H, W] on the CPU.
        seeds: of each image, B; an image and its seed give the same result in every batch.

    Returns:
        uint8 [B, bands, H, W].
    """
    policy = _policy(name)
    changed = torch.empty_like(images_u8)
    with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's own generator
        for place, seed in enumerate(seeds):
            torch.default_generator.manual_seed(seed)
            changed[place] = policy(images_u8[place])
    return changed


def _policy(name: PolicyName) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import InterpolationMode, v2  # seconds to import

    how: dict[str, Any] = {"interpolation": InterpolationMode.BILINEAR}
    return v2.RandAugment(**how) if name == "randaugment" else v2.TrivialAugmentWide(**how)
