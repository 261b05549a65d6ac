"""Differentiable augmentation of image batches, from random numbers drawn beforehand.

Source: DiffAugment (Zhao et al. 2020, arXiv 2006.10738). The random numbers are drawn apart from
their application, so that real and generated images can be augmented alike and a process can take
its rows of the global batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

POLICIES = ("colour", "translation", "cutout")
# Of the image side; the paper's values.
TRANSLATION_RATIO = 1 / 8
CUTOUT_RATIO = 1 / 2


@dataclass(frozen=True)
class DiffAugmentation:
    """Random numbers of a batch's augmentation, uniform in [0, 1).

    Attributes:
        policy: names from `POLICIES`.
        colour: [B, 3], for brightness, saturation and contrast.
        shift: [B, 2], down and right.
        hole: [B, 2], centre row and column.
    """

    policy: tuple[str, ...]
    colour: Tensor
    shift: Tensor
    hole: Tensor

    def __len__(self) -> int:
        return len(self.colour)

    def __getitem__(self, rows: slice | Tensor) -> "DiffAugmentation":
        """Return the augmentation of some images of the batch."""
        return DiffAugmentation(self.policy, self.colour[rows], self.shift[rows], self.hole[rows])


def sample_diff_augmentation(
    batch: int, generator: torch.Generator, policy: tuple[str, ...] = POLICIES
) -> DiffAugmentation:
    """Draw the augmentation of a batch; the numbers do not depend on the policy.

    Args:
        batch: B.
        generator: on the CPU.
        policy: names from `POLICIES`; empty for none.

    Raises:
        ValueError: for an unknown name.
    """
    unknown = [name for name in policy if name not in POLICIES]
    if unknown:
        raise ValueError(f"unknown augmentation {unknown}, choose from {[*POLICIES]}")
    colour, shift, hole = torch.rand(batch, 7, generator=generator).split([3, 2, 2], dim=1)
    return DiffAugmentation(policy, colour, shift, hole)


def diff_augment(images: Tensor, augmentation: DiffAugmentation) -> Tensor:
    """Augment images; gradients flow through.

    Args:
        images: [B, C, H, W], in [-1, 1]; the result may leave that range, grey (0) fills gaps.
        augmentation: of B images.

    Returns:
        [B, C, H, W].

    Raises:
        ValueError: if the batch sizes differ.
    """
    if len(augmentation) != images.shape[0]:
        raise ValueError(f"{images.shape[0]} images but {len(augmentation)} augmentations")
    if "colour" in augmentation.policy:
        images = _shift_colour(images, augmentation.colour.to(images.device))
    if "translation" in augmentation.policy:
        images = _translate(images, augmentation.shift.to(images.device))
    if "cutout" in augmentation.policy:
        images = images * _hole_mask(images, augmentation.hole.to(images.device))
    return images


def _shift_colour(images: Tensor, uniform: Tensor) -> Tensor:
    brightness, saturation, contrast = uniform.to(images.dtype)[:, :, None, None, None].unbind(1)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = torch.lerp(grey.expand_as(images), images, 2 * saturation)
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(level.expand_as(images), images, contrast + 0.5)


def _whole_pixels(uniform: Tensor, low: int, high: int) -> Tensor:
    """Map numbers in [0, 1) to integers in [low, high]."""
    return low + (uniform * (high - low + 1)).floor().long()


def _translate(images: Tensor, uniform: Tensor) -> Tensor:
    for axis in (2, 3):
        side = images.shape[axis]
        reach = round(side * TRANSLATION_RATIO)
        shift = _whole_pixels(uniform[:, axis - 2], -reach, reach)
        source = torch.arange(side, device=images.device) - shift[:, None]
        shape = [-1, 1, 1, 1]
        shape[axis] = side
        # Indices wrap round: each pixel is read once, so the backward pass is exact.
        index = (source % side).reshape(shape).expand_as(images)
        inside = ((source >= 0) & (source < side)).reshape(shape)
        images = images.gather(axis, index) * inside
    return images


def _hole_mask(images: Tensor, uniform: Tensor) -> Tensor:
    """Return [B, 1, H, W]: 0 in each image's square hole (cut off at the border), else 1."""
    outside = []
    for axis in (2, 3):
        side = images.shape[axis]
        length = round(side * CUTOUT_RATIO)
        # As in the paper the corner is uniform and may lie outside: the border is cut as often.
        first = _whole_pixels(uniform[:, axis - 2], -(length // 2), side - length // 2)
        position = torch.arange(side, device=images.device)[None] - first[:, None]
        outside.append((position < 0) | (position >= length))
    rows, columns = outside
    return (rows[:, None, :, None] | columns[:, None, None, :]).to(images.dtype)
