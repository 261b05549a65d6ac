"""Known values, invariances and gradients of the generator's terms."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from tgn.generation.cdtg import losses
from tgn.models.feature_losses import perceptual_distance


def test_path_length_of_a_linear_map_is_known():
    styles = torch.randn(2, 3, requires_grad=True)
    matrix = torch.randn(3, 12)
    images = (styles @ matrix).view(2, 3, 2, 2)
    noise = torch.randn(2, 3, 2, 2)
    expected = (noise.flatten(1) @ matrix.T / 2).norm(dim=1)  # sqrt(H W) = 2
    torch.testing.assert_close(losses.path_lengths(images, styles, noise), expected)


def test_clip_consistency_is_cross_entropy_of_scaled_cosines():
    cosines = torch.tensor([[0.5, 0.1], [0.2, 0.9]])
    expected = (math.log1p(math.exp(-4.0)) + math.log1p(math.exp(-7.0))) / 2
    value = losses.clip_consistency(cosines, torch.tensor([0, 1]), 10.0)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_perceptual_distance_is_zero_at_equality_two_for_orthogonal_and_blind_to_scale():
    a = torch.zeros(1, 2, 3, 3)
    a[:, 0] = 1.0
    b = torch.zeros(1, 2, 3, 3)
    b[:, 1] = 5.0
    assert perceptual_distance([a], [a]).item() == 0
    assert perceptual_distance([a], [b]).item() == pytest.approx(2.0)
    assert perceptual_distance([a], [3 * a]).item() == pytest.approx(0.0, abs=1e-6)


def test_perceptual_distance_refuses_other_numbers_of_stages():
    with pytest.raises(ValueError, match="2 stages of features against 1"):
        perceptual_distance([torch.ones(1, 1, 1, 1)] * 2, [torch.ones(1, 1, 1, 1)])


def test_source_fidelity_asks_all_at_r_zero_and_nothing_at_r_one():
    distances = torch.tensor([2.0, 2.0])
    assert losses.source_fidelity(distances, torch.tensor([0.0, 1.0])).item() == pytest.approx(1.0)


def test_diversity_shortfall_is_r_for_identical_pairs_and_zero_for_real_variety():
    ratio = torch.tensor([0.2, 0.8])
    assert losses.diversity_shortfall(torch.zeros(2), ratio, 1.5).item() == pytest.approx(0.5)
    assert losses.diversity_shortfall(torch.full((2,), 1.5), ratio, 1.5).item() == 0
    with pytest.raises(ValueError, match="must differ"):
        losses.diversity_shortfall(torch.zeros(2), ratio, 0.0)


def test_gradients():
    double = {"dtype": torch.float64, "requires_grad": True}
    a, b = torch.randn(2, 3, 2, 2, **double), torch.randn(2, 3, 2, 2, dtype=torch.float64)
    cosines = torch.randn(3, 2, **double)
    ratio = torch.tensor([0.3, 0.9], dtype=torch.float64)
    distances = torch.tensor([0.1, 0.2], **double)
    labels = torch.tensor([0, 1, 1])
    assert gradcheck(lambda x: losses.clip_consistency(x, labels, 5.0), (cosines,))
    assert gradcheck(lambda x: losses.source_fidelity(x, ratio), (distances,))
    assert gradcheck(lambda x: losses.diversity_shortfall(x, ratio, 1.0), (distances,))
    assert perceptual_distance([a], [b]).shape == (2,)
