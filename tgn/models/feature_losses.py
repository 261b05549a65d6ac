"""Losses and distances between features of networks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-24  # of a product of squared lengths


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two feature maps, over every element.

    Args:
        student: [B, D, h, w].
        teacher: [B, D, h, w]; no gradient flows into it.

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ.

    Source: T2FTS (Zhao et al. 2022) and KMDN (TGN, 2024), MSE on stage-3 features.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"student features {[*student.shape]} != teacher's {[*teacher.shape]}")
    return F.mse_loss(student, teacher.detach())


def perceptual_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Distance of two images in the features of several stages of one network.

    Args:
        a: features [B, D_i, h_i, w_i] of each stage.
        b: the same of the other images.

    Returns:
        [B]: mean over stages and places of |a' - b'|^2, with channels scaled to unit length, in
        [0, 4] (the form of LPIPS, Zhang et al. 2018, eq. 1, with all channel weights 1).
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} stages of features against {len(b)}")
    stages = [_unit_distance(x, y).mean((1, 2)) for x, y in zip(a, b, strict=True)]
    return torch.stack(stages).mean(0)


def _unit_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return |a' - b'|^2 [B, h, w] of the unit vectors along the channels of [B, D, h, w].

    Written out as |a'|^2 + |b'|^2 - 2 a'b', which needs no copies of the features at unit length;
    where a feature vector is 0, its unit vector is 0.
    """
    a, b = a.float(), b.float()
    of_a, of_b = a.square().sum(1), b.square().sum(1)
    cosine = (a * b).sum(1) * (of_a * of_b).clamp(min=TINY).rsqrt()
    return (of_a > 0).float() + (of_b > 0).float() - 2 * cosine
