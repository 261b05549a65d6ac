"""Mixing of pairs of images and their labels: mixup, CutMix, Remix and CMO."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from classify.training.mixing_settings import Mixing

REMIX_RATIO, REMIX_SHARE = 3.0, 0.5  # kappa and tau of the Remix paper


class Blend(NamedTuple):
    """How the images of one batch are mixed; the same for both sensors of paired images."""

    partner: Tensor  # row of the image mixed in, [B]; with CMO behind the B rows
    share: Tensor  # weight of an image's own label, [B] in [0, 1]
    own_pixels: float  # share of an image's own pixels, in [0, 1]
    box: tuple[float, float, float, float] | None  # CutMix: top, bottom, left, right in [0, 1]


def draw_blend(
    kind: Mixing, labels: Tensor, counts: Tensor, alpha: float, rng: torch.Generator
) -> Blend:
    """Sample how a batch is mixed.

    mixup (Zhang et al. 2018, arXiv 1710.09412): pixels and labels in the ratio lam ~
    Beta(alpha, alpha). CutMix (Yun et al. 2019, arXiv 1905.04899): a box of area 1 - lam comes from
    the partner. Remix (Chou et al. 2020, arXiv 2007.03943, eq. 6): mixup, but where one image's
    class is 3 times as frequent and its pixels do not make up at least half, the rarer class gets
    the whole label. CMO (context-rich minority oversampling, Park et al. 2022, arXiv 2112.00412,
    algorithm 1): CutMix, but the box comes from an image of another sampling, which favours rare
    classes; these foregrounds are the second half of the rows.

    Args:
        kind: not "none".
        labels: [B]; with CMO [2 B], of the backgrounds and behind them of the foregrounds.
        counts: real training images of each class, [C].
        alpha: > 0.
        rng: CPU generator.
    """
    if kind == "cmo":
        size = len(labels) // 2
        partner = torch.arange(size) + size
    else:
        size = len(labels)
        partner = torch.randperm(size, generator=rng)
    seed = int(torch.randint(2**31, (1,), generator=rng))
    numpy_rng = np.random.default_rng(seed)
    lam = float(numpy_rng.beta(alpha, alpha))
    box = None
    if kind in ("cutmix", "cmo"):
        box = _box(1 - lam, *numpy_rng.random(2))
        lam = 1 - (box[1] - box[0]) * (box[3] - box[2])
    share = torch.full((size,), lam)
    if kind == "remix":
        share = _remix_share(share, counts[labels], counts[labels[partner]])
    return Blend(partner, share, lam, box)


def mix_images(images: Tensor, partners: Tensor, blend: Blend) -> Tensor:
    """Return the images [B, bands, H, W] mixed with their partners, [B, bands, H, W]."""
    if blend.box is None:
        return torch.lerp(partners, images, blend.own_pixels)
    height, width = images.shape[2:]
    top, bottom = (round(edge * height) for edge in blend.box[:2])
    left, right = (round(edge * width) for edge in blend.box[2:])
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
    return mixed


def _box(area: float, x: float, y: float) -> tuple[float, float, float, float]:
    """Return the box of an area in [0, 1] around a centre, cropped at the borders."""
    half = area**0.5 / 2
    return max(y - half, 0), min(y + half, 1), max(x - half, 0), min(x + half, 1)


def _remix_share(share: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Give the whole label to the rarer class where Remix's two conditions hold."""
    own_rare = (other >= REMIX_RATIO * own) & (1 - share < REMIX_SHARE)
    other_rare = (own >= REMIX_RATIO * other) & (share < REMIX_SHARE)
    return torch.where(own_rare, 1.0, torch.where(other_rare, 0.0, share))
