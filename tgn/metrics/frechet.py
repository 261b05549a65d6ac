"""The Fréchet distance between two Gaussians (FID when the features are Inception's)."""

import torch
from torch import Tensor

from tgn.metrics.statistics import FeatureStatistics


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Return the squared Fréchet distance of two Gaussians fitted to feature sets.

    ``|mean_a - mean_b|² + tr(S_a + S_b - 2 (S_a S_b)^½)``. The last trace equals that of the
    symmetric ``(S_a^½ S_b S_a^½)^½``, so two symmetric eigen-decompositions give it, with no
    imaginary part even where a covariance is singular. With fewer images than features the
    covariance has no full rank, and the bias upwards depends on the number of images.

    Args:
        a: statistics of one set, at least two features.
        b: statistics of the other, same D.

    Returns:
        The distance, >= 0, in squared units of the features.

    Raises:
        ValueError: if D differs or a set has fewer than two features.

    Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule", eq. 6.
    """
    if a.dimension != b.dimension:
        raise ValueError(f"feature sets differ in D: {a.dimension} and {b.dimension}")
    covariance_a, covariance_b = a.covariance, b.covariance
    root_a = _symmetric_root(covariance_a)
    cross = _positive_part(torch.linalg.eigvalsh(root_a @ covariance_b @ root_a)).sqrt().sum()
    spread = covariance_a.trace() + covariance_b.trace() - 2 * cross
    return max(0.0, float((a.mean - b.mean).square().sum() + spread))


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * _positive_part(values).sqrt()) @ vectors.T


def _positive_part(eigenvalues: Tensor) -> Tensor:
    # Rounding leaves ±eps where a singular matrix has zeros; the root would blow those up to 1e-8.
    floor = eigenvalues.abs().max() * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps
    return torch.where(eigenvalues > floor, eigenvalues, torch.zeros_like(eigenvalues))
