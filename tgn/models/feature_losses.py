"""Losses and distances between features of networks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.models.settings import FeatureDistance

TINY = 1e-24  # of a product of squared lengths


def feature_distance(student: Tensor, teacher: Tensor, kind: FeatureDistance) -> Tensor:
    """Return how far a student's feature map is from its teacher's, image by image.

    ``normalised`` divides each image's map by its own root mean square before the difference is
    squared: mean (s / rms(s) - t / rms(t))^2 = 2 - 2 cos(s, t). Neither the scale of the networks'
    features nor the number of their elements changes it, and a student cannot lower it by smaller
    features. ``mse`` is the mean of (s - t)^2, which grows with the square of the scale.

    Args:
        student: [B, D, h, w].
        teacher: [B, D, h, w]; no gradient flows into it.
        kind: of the distance.

    Returns:
        [B] in float32 (float64 if given it); ``normalised`` in [0, 4], 2 for orthogonal maps.

    Raises:
        ValueError: if the shapes differ.

    Source: the MSE on stage-3 features is that of T2FTS (Zhao et al. 2022) and KMDN (TGN, 2024).
    """
    if student.shape != teacher.shape:
        raise ValueError(f"student features {[*student.shape]} != teacher's {[*teacher.shape]}")
    maps = [_at_least_float32(features).flatten(1) for features in (student, teacher.detach())]
    if kind == "normalised":
        own, target = (F.normalize(flat) for flat in maps)
        return (own - target).square().sum(1)
    return (maps[0] - maps[1]).square().mean(1)


def _at_least_float32(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()


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
