"""Losses of rotated boxes as Gaussians; continuous where the angle wraps round."""

import torch
from torch import Tensor

_EPSILON = 1e-7


def gaussian(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of rotated boxes (Yang et al. 2021, arXiv 2101.11952, eq. 1).

    Args:
        boxes: [N, 5].

    Returns:
        [N, 2] and [N, 2, 2]; the standard deviations are half the sides. Equal rectangles have
        equal Gaussians in every angle convention.
    """
    width, height, angle = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack((cosine, -sine, sine, cosine), dim=1).view(-1, 2, 2)
    spread = torch.diag_embed(torch.stack((width, height), dim=1).square() / 4)
    return boxes[:, :2], turn @ spread @ turn.mT


def gwd_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the Gaussian Wasserstein loss of box pairs, as released with rotated LD: log(1 + d).

    Source: Yang et al. 2021 (arXiv 2101.11952, eq. 4 to 8) with tau = 0. The distance is divided
    by the geometric mean of all four sides, so that it does not depend on the unit.

    Args:
        predicted: [N, 5], sides > 0.
        target: [N, 5], sides > 0.

    Returns:
        [N], >= 0 and without bound.
    """
    return (_wasserstein(predicted, target) / _mean_side(predicted, target)).log1p()


def bounded_gwd_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return 1 - 1 / (1 + log(1 + d)) of the same distance in mean sides of the target alone.

    Differs from the released loss: tau = 1, and a box that is much too small has little gradient.

    Args:
        predicted: [N, 5], sides > 0.
        target: [N, 5], sides > 0.

    Returns:
        [N] in [0, 1).
    """
    return _bounded(_wasserstein(predicted, target) / _mean_side(target, target))


def kld_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the loss of the Kullback-Leibler divergence D of Gaussians, as released.

    Source: Yang et al. 2021 (arXiv 2106.01883, eq. 4 and 8) with tau = 1; in mmrotate's GDLoss_v1
    the divergence lacks its factor of 1/2.

    Args:
        predicted: [N, 5], sides > 0.
        target: [N, 5], sides > 0.

    Returns:
        1 - 1 / (1 + log(1 + 2 D)), [N] in [0, 1). It does not depend on the unit.
    """
    return _bounded(2 * _divergence(predicted, target))


def halved_kld_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return `kld_loss` as the paper writes it, with D in place of 2 D."""
    return _bounded(_divergence(predicted, target))


def _wasserstein(predicted: Tensor, target: Tensor) -> Tensor:
    (mean_p, cov_p), (mean_t, cov_t) = gaussian(predicted), gaussian(target)
    centres = (mean_p - mean_t).square().sum(dim=1)
    # Trace of the root of a product of two 2x2 matrices, from its trace and determinant.
    trace = (cov_p @ cov_t).diagonal(dim1=1, dim2=2).sum(dim=1)
    root = (_determinant(cov_p) * _determinant(cov_t)).clamp(min=0).sqrt()
    cross = 2 * (trace + 2 * root).clamp(min=_EPSILON).sqrt()
    traces = sum(cov.diagonal(dim1=1, dim2=2).sum(dim=1) for cov in (cov_p, cov_t))
    return (centres + traces - cross).clamp(min=_EPSILON).sqrt()


def _mean_side(first: Tensor, second: Tensor) -> Tensor:
    areas = [boxes[:, 2:4].prod(dim=1).clamp(min=_EPSILON) for boxes in (first, second)]
    return (areas[0].sqrt() * areas[1].sqrt()).sqrt()


def _divergence(predicted: Tensor, target: Tensor) -> Tensor:
    (mean_p, cov_p), (mean_t, cov_t) = gaussian(predicted), gaussian(target)
    inverse = _inverse(cov_t)
    offset = (mean_p - mean_t)[:, :, None]
    distance = (offset.mT @ inverse @ offset).flatten()
    spread = (inverse @ cov_p).diagonal(dim1=1, dim2=2).sum(dim=1)
    sizes = _determinant(cov_t).log() - _determinant(cov_p).log()
    return 0.5 * (distance + spread + sizes) - 1


def _bounded(distance: Tensor) -> Tensor:
    return 1 - 1 / (1 + distance.clamp(min=0).log1p())


def _determinant(matrix: Tensor) -> Tensor:
    both = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    return both.clamp(min=_EPSILON)


def _inverse(matrix: Tensor) -> Tensor:
    a, b, c, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 0], matrix[:, 1, 1]
    adjugate = torch.stack((d, -b, -c, a), dim=1).view(-1, 2, 2)
    return adjugate / _determinant(matrix)[:, None, None]
