"""Empirical Bayes: measurements of many classes drawn towards their mean, the rough ones most."""

from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST_VARIANCE = 1e-12
PRIOR_DEGREES = 4.0  # images that the pooled variance counts as


class Posterior(NamedTuple):
    """What is to be expected of each class.

    Attributes:
        mean: float64 [G].
        deviation: standard deviation, [G].
    """

    mean: Tensor
    deviation: Tensor


def shrunk(values: Tensor, variances: Tensor) -> Posterior:
    """Return the posterior of normal means that are measured with normal errors.

    The means of the classes are taken to be normal with mean mu and variance tau^2. tau^2 is the
    moment estimate of DerSimonian and Laird 1986, eq. 8; a class's mean is
    (tau^2 x + v mu) / (tau^2 + v). The error of mu is in the deviation, that of tau^2 is not.
    Source: Efron and Morris 1975; Morris 1983.

    Args:
        values: x, measured, [G], G >= 1.
        variances: v of the errors, [G]; infinite where nothing was measured. If that is so
            everywhere, 0 is expected, with an infinite deviation.
    """
    if not variances.isfinite().any():
        return Posterior(torch.zeros_like(variances), torch.full_like(variances, torch.inf))
    v = variances.double().clamp(min=SMALLEST_VARIANCE)
    # What was not measured has no weight; its value must not matter, were it not a number.
    x = values.double().where(v.isfinite(), 0.0)
    weight = 1 / v
    mean = (weight * x).sum() / weight.sum()
    spread = (weight * (x - mean).square()).sum() - (int(v.isfinite().sum()) - 1)
    scale = weight.sum() - weight.square().sum() / weight.sum()
    between = (spread / scale).clamp(min=0) if scale > 0 else torch.zeros(()).double()
    weight = 1 / (v + between)
    mean = (weight * x).sum() / weight.sum()
    own = between * weight  # of the class against the mean, 0 without a measurement
    error = (own * v).where(v.isfinite(), between)
    deviation = (error + (1 - own).square() / weight.sum()).sqrt()
    return Posterior(own * x + (1 - own) * mean, deviation)


def moderated_variances(variances: Tensor, counts: Tensor) -> Tensor:
    """Return variances of small samples, drawn towards the one pooled over all samples.

    Without it the five images of a class that happen to agree would count as certain. The pooled
    variance counts as four images. Source: Smyth 2004, section 5, with fixed degrees of freedom.

    Args:
        variances: of each sample, unbiased, [G]; any number where ``counts`` < 2.
        counts: of images, [G].

    Returns:
        float64 [G]; infinite if no sample has two images.
    """
    degrees = (counts.double() - 1).clamp(min=0)
    own = variances.double().where(degrees > 0, 0.0)
    if degrees.sum() == 0:
        return torch.full_like(own, float("inf"))
    pooled = (degrees * own).sum() / degrees.sum()
    return (PRIOR_DEGREES * pooled + degrees * own) / (PRIOR_DEGREES + degrees)
