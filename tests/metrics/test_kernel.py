import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.kid import poly_mmd

from tgn.metrics.kernel import kernel_distance, polynomial_mmd


def features(rows, seed=0, shift=0.0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 8, generator=rng, dtype=torch.float64) + shift


def test_equals_torch_fidelity_and_torchmetrics():
    x, y = features(60), features(60, seed=1, shift=0.4)
    fidelity = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=60, verbose=False)
    reference = fidelity["kernel_inception_distance_mean"]
    assert polynomial_mmd(x, y) == pytest.approx(reference, rel=1e-3)
    assert polynomial_mmd(x, y) == pytest.approx(float(poly_mmd(x, y)), rel=1e-3)
    assert kernel_distance(x, y, seed=0).value == pytest.approx(reference, rel=1e-3)


def test_known_value():
    # D = 1: k(1, 1) = k(-1, -1) = 8, k(1, -1) = 0
    x = torch.tensor([[1.0], [1.0]])
    y = torch.tensor([[-1.0], [-1.0], [1.0]])
    within_y = (2 * 8 + 0) / 6
    assert polynomial_mmd(x, y) == pytest.approx(8 + within_y - 2 * 8 / 3)


def test_large_sets_average_over_subsets():
    x, y = features(600), features(500, seed=1, shift=0.3)
    subsets = kernel_distance(x, y, seed=0, max_subset_size=100, num_subsets=50)
    assert subsets.subset_sizes == (100, 100)
    assert subsets.value == pytest.approx(polynomial_mmd(x, y), rel=0.1)


def test_unbiased_and_worse_with_noise():
    same = [kernel_distance(features(30, 2 * s), features(40, 2 * s + 1), 0) for s in range(30)]
    values = torch.tensor([kid.value for kid in same])
    assert abs(values.mean()) < 3 * values.std() / 30**0.5
    far = [kernel_distance(features(30), features(30, 1, s), 0).value for s in (0, 0.5, 1, 2)]
    assert far == sorted(far)


@pytest.mark.parametrize(("rows", "most"), [((40, 40), 1000), ((20, 400), 1000), ((300, 300), 40)])
def test_standard_error_is_the_deviation_over_fresh_sets(rows, most):
    samples = [
        kernel_distance(features(rows[0], 2 * s), features(rows[1], 2 * s + 1, 0.5), 0, most)
        for s in range(60)
    ]
    actual = torch.tensor([kid.value for kid in samples]).std()
    stated = torch.tensor([kid.standard_error for kid in samples]).mean()
    assert 0.7 < stated / actual < 1.6


def test_seeded_and_small():
    x, y = features(20), features(20, seed=1)
    assert kernel_distance(x, y, seed=3) == kernel_distance(x, y, seed=3)
    assert kernel_distance(x, y, seed=3) != kernel_distance(x, y, seed=4)
    assert kernel_distance(x[:3], y, seed=0).standard_error is None


def test_wrong_input():
    with pytest.raises(ValueError, match="2 rows"):
        polynomial_mmd(features(1), features(5))
    with pytest.raises(ValueError, match="differ in D"):
        kernel_distance(features(5), features(5)[:, :3], seed=0)
    with pytest.raises(ValueError, match="NaN"):
        polynomial_mmd(features(5), features(5) / 0)
