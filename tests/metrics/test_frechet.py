import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid

from tgn.metrics.frechet import frechet_distance
from tgn.metrics.statistics import FeatureStatistics


def features(rows, dimension=16, seed=0, scale=1.0):
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimension, dimension, generator=rng, dtype=torch.float64)
    return scale * torch.randn(rows, dimension, generator=rng, dtype=torch.float64) @ mixing


def distance(a, b):
    return frechet_distance(FeatureStatistics.of(a), FeatureStatistics.of(b))


@pytest.mark.parametrize("rows", [300, 12])  # 12 rows of 16 features: singular covariances
def test_equals_torch_fidelity(rows):
    a, b = features(rows), features(rows + 3, seed=1, scale=1.3) + 0.5
    reference = fid_statistics_to_metric(
        fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False
    )["frechet_inception_distance"]
    assert distance(a, b) == pytest.approx(reference, rel=1e-3)


def test_equals_torchmetrics():
    a, b = features(200), features(150, seed=1) + 1
    reference = _compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())
    assert distance(a, b) == pytest.approx(float(reference), rel=1e-3)


def exact_features(mean, deviations):
    """Rows whose mean and (diagonal) covariance are exactly the given ones."""
    size = len(mean)
    corners = torch.tensor(np.vstack([np.eye(size), -np.eye(size)]))
    return mean + corners * deviations * ((2 * size - 1) / 2) ** 0.5


def test_closed_form_of_diagonal_gaussians():
    mean_a, mean_b = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 1.0, 0.0])
    std_a, std_b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 0.5])
    expected = (mean_a - mean_b).square().sum() + (std_a - std_b).square().sum()
    found = distance(exact_features(mean_a, std_a), exact_features(mean_b, std_b))
    assert found == pytest.approx(float(expected), rel=1e-6)


def test_a_set_is_at_zero_from_itself_and_noise_moves_it_away():
    real = features(100)
    noise = features(100, seed=2)
    distances = [distance(real, real + level * noise) for level in (0, 0.1, 0.5, 2)]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances == sorted(distances)
    assert distances[1] > 1e-3


def test_rotation_does_not_matter():
    a, b = features(60), features(60, seed=1)
    turn, _ = torch.linalg.qr(features(16, seed=5))
    assert distance(a @ turn, b @ turn) == pytest.approx(distance(a, b), rel=1e-8)


def test_wrong_input():
    with pytest.raises(ValueError, match="at least 2"):
        distance(features(1), features(5))
    with pytest.raises(ValueError, match="differ in D"):
        distance(features(5, dimension=3), features(5))
