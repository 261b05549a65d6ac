"""Distance to the prototype of a class, two-sided: too typical, or a stranger."""

from typing import NamedTuple

import torch
from torch import Tensor

OWN_WEIGHT = 20  # images of a class whose own thresholds count as much as those of all classes


class PrototypeLimits(NamedTuple):
    """Between which distances the images of a class lie.

    Attributes:
        distance: of each image, float64 [N].
        nearest: lowest distance of each image's class, [N].
        furthest: highest, [N].
    """

    distance: Tensor
    nearest: Tensor
    furthest: Tensor


def prototype_limits(
    generated: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor, percentile: float
) -> PrototypeLimits:
    """Return distances to the mean of the class's real images, and the limits of real ones.

    A real image is left out of its own prototype. Distances are divided by what the prototype's own
    error adds: of n images it is sqrt(1 + 1/n) for an image that is not among them, so that
    distances to the prototypes of n and of n - 1 images can be compared. Limits are percentiles of
    d / (mean d of the other real images of the class). Those of a class with n images are the
    mean of its own, with weight n, and of those of all classes, with weight 20: five images have no
    percentiles.

    Args:
        generated: features, [N, D].
        labels: classes, int64 [N].
        real: features of the training images, [M, D], two or more of some class.
        real_labels: int64 [M]; a class without real images has no limits.
        percentile: p in [0, 50]: the limits are those of the p and 100 - p percentiles.
    """
    within = _distances_within(real.double(), real_labels)
    known = within.isfinite()
    every = real_labels[known]
    scales = {int(k): within[known][every == k].mean() for k in every.unique()}
    ratios = _ratios(within[known], every)
    ends = torch.tensor([percentile / 100, 1 - percentile / 100]).double()
    pooled, typical = torch.quantile(ratios, ends), torch.stack([*scales.values()]).median()
    distance = torch.zeros(len(labels), dtype=torch.float64)
    limits = torch.zeros(len(labels), 2, dtype=torch.float64)
    for label in labels.unique().tolist():
        rows, own = labels == label, ratios[every == label]
        members = real[real_labels == label].double()
        if len(members) == 0:
            limits[rows, 1] = torch.inf
            continue
        away = (generated[rows].double() - members.mean(0)).norm(dim=1)
        distance[rows] = away / (1 + 1 / len(members)) ** 0.5
        share = len(own) / (len(own) + OWN_WEIGHT)
        mixed = torch.lerp(pooled, torch.quantile(own, ends), share) if len(own) else pooled
        limits[rows] = mixed * scales.get(label, typical)
    return PrototypeLimits(distance, limits[:, 0], limits[:, 1])


def _ratios(values: Tensor, labels: Tensor) -> Tensor:
    """Return each value over the mean of the others of its class, two or more a class, [N]."""
    counts, sums = torch.bincount(labels), torch.bincount(labels, values)
    others = (sums[labels] - values) / (counts[labels] - 1)
    return values / others.clamp(min=1e-12)


def _distances_within(real: Tensor, labels: Tensor) -> Tensor:
    """Return the distance of each real image to the mean of the others of its class, scaled, [M].

    With m the mean of all n, that to the others is n / (n - 1) |x - m|; divided by sqrt(1 +
    1 / (n - 1)) it is sqrt(n / (n - 1)) |x - m|. Infinite where there is no other.
    """
    found = torch.full((len(labels),), float("inf"), dtype=torch.float64)
    for label in labels.unique():
        rows = (labels == label).nonzero().flatten()
        if (n := len(rows)) > 1:
            own = real[rows]
            found[rows] = (n / (n - 1)) ** 0.5 * (own - own.mean(0)).norm(dim=1)
    return found
