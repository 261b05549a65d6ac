"""Ordinary augmentation of overhead images, on the batch and on its device."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

SYMMETRIES = 8
MAX_SHIFT = 0.125  # of the side
MAX_SCALE = 0.15
MAX_BRIGHTNESS = 0.2  # added to pixels in [-1, 1]
MAX_CONTRAST = 0.2
CROP_NUMBERS = 5


def dihedral(images: Tensor, code: int) -> Tensor:
    """Apply one of the 8 symmetries of the square to all images.

    Args:
        images: [B, C, S, S].
        code: 0..7: flip left-right if code >= 4, then ``code % 4`` quarter turns counter-clockwise.
    """
    flipped = images.flip(3) if code >= 4 else images
    return flipped.rot90(code % 4, (2, 3))


def random_dihedral(images: Tensor, codes: Tensor) -> Tensor:
    """Apply to each image [B, C, S, S] the symmetry of its code [B] (see :func:`dihedral`)."""
    turned = torch.empty_like(images)
    for code in range(SYMMETRIES):
        rows = codes == code
        turned[rows] = dihedral(images[rows], code)
    return turned


class Augmentation(NamedTuple):
    """What happens to each image of a batch."""

    codes: Tensor  # of the symmetries, [B] in 0..7
    numbers: Tensor  # right, down, larger, contrast, brightness: [B, 5] in [-1, 1]

    def rows(self, rows: Tensor) -> "Augmentation":
        """Return what happens to some of the images."""
        return Augmentation(self.codes[rows], self.numbers[rows])


def draw_augmentation(count: int, draw: torch.Generator) -> Augmentation:
    """Decide what happens to ``count`` images; ``draw`` lies on the CPU."""
    codes = torch.randint(SYMMETRIES, (count,), generator=draw)
    return Augmentation(codes, torch.rand(count, 5, generator=draw).mul(2).sub(1))


def augment(images_pm1: Tensor, augmentation: Augmentation) -> Tensor:
    """Turn, mirror, shift, zoom and relight a batch.

    Overhead images have no up: all 8 symmetries are alike. Brightness and contrast change per
    image, as sun and haze do; colours stay, since they tell classes apart.

    Args:
        images_pm1: [B, C, S, S].
        augmentation: of B images.

    Returns:
        The same shape, in [-1, 1].
    """
    codes, numbers = (each.to(images_pm1.device) for each in augmentation)
    moved = _shift_and_zoom(random_dihedral(images_pm1, codes), numbers[:, :3])
    return relight(moved, augmentation)


def relight(images_pm1: Tensor, augmentation: Augmentation) -> Tensor:
    """Change contrast and brightness of each image [B, C, S, S]; the result is in [-1, 1]."""
    numbers = augmentation.numbers.to(images_pm1.device)
    contrast = 1 + MAX_CONTRAST * numbers[:, 3].view(-1, 1, 1, 1)
    brightness = MAX_BRIGHTNESS * numbers[:, 4].view(-1, 1, 1, 1)
    return (images_pm1 * contrast + brightness).clamp(-1, 1)


def draw_crops(count: int, draw: torch.Generator) -> Tensor:
    """Decide where ``count`` images are cropped: numbers [count, 5] in [0, 1)."""
    return torch.rand(count, CROP_NUMBERS, generator=draw)


def rotated_crops(images_pm1: Tensor, numbers: Tensor, smallest: float) -> Tensor:
    """Cut a rotated, perhaps mirrored square out of each image and enlarge it, bicubic.

    Its centre is such that the unrotated square lies within the image; beyond the border the image
    is reflected.

    Args:
        images_pm1: [B, C, S, S].
        numbers: [B, 5] in [0, 1): side between ``smallest`` and 1, angle, right, down, mirrored.
        smallest: share of the side.
    """
    numbers = numbers.to(images_pm1.device)
    side = smallest + (1 - smallest) * numbers[:, 0]
    angle = 2 * math.pi * numbers[:, 1]
    mirror = (numbers[:, 4] < 0.5).to(images_pm1) * 2 - 1
    theta = torch.zeros(len(images_pm1), 2, 3, device=images_pm1.device)
    theta[:, 0, 0], theta[:, 0, 1] = side * angle.cos() * mirror, -side * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = side * angle.sin() * mirror, side * angle.cos()
    theta[:, :, 2] = (2 * numbers[:, 2:4] - 1) * (1 - side)[:, None]
    grid = F.affine_grid(theta, list(images_pm1.shape), align_corners=False)
    cut = F.grid_sample(
        images_pm1, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return cut.clamp(-1, 1)


def _shift_and_zoom(images: Tensor, numbers: Tensor) -> Tensor:
    """Resample with reflected borders; ``numbers`` [B, 3] in [-1, 1]: right, down, larger."""
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 - MAX_SCALE * numbers[:, 2]
    theta[:, :, 2] = 2 * MAX_SHIFT * numbers[:, :2]
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
