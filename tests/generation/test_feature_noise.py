import pytest
import torch

from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.presets import architecture
from tgn.generation.feature_noise import VARIATIONS, FeatureNoise


@pytest.fixture
def features():
    """40 images of class 0 that vary along axis 0, two of class 1, none of class 2."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 40 + [1] * 2)
    table = torch.zeros(42, 6, 4, 4)
    table[:, 1] = 5.0 * labels[:, None, None]
    table[:40, 0] = torch.randn(40, 4, 4, generator=draw)
    return table, labels


def sampled(features, label, count=500):
    noise = FeatureNoise(3, 6, 4)
    noise.fit(*features)
    weights = torch.randn(count, VARIATIONS, generator=torch.Generator().manual_seed(1))
    return noise(weights, torch.full((count,), label))


def test_a_class_keeps_its_mean(features):
    for label in (0, 1):
        torch.testing.assert_close(
            sampled(features, label)[:, 1], torch.full((500, 4, 4), 5.0 * label), atol=1e-4, rtol=0
        )


def test_a_class_varies_as_its_own_images_do(features):
    table, labels = features
    found = sampled(features, 0)
    real = table[labels == 0][:, 0].std()
    assert 0.5 * real < found[:, 0].std() < 1.5 * real
    assert found[:, 2:].abs().max() < 1e-5  # nothing varies that never varied
    assert sampled(features, 1).std(0).max() < 1e-5  # nor in a class whose images are all alike


def test_samples_are_near_no_single_image(features):
    table, labels = features
    distances = torch.cdist(sampled(features, 0).flatten(1), table[labels == 0].flatten(1))
    apart = torch.cdist(table[:40].flatten(1), table[:40].flatten(1))
    assert distances.min(dim=1).values.median() > 0.2 * apart[apart > 0].median()


def test_a_class_without_images_gets_the_mean_of_all(features):
    expected = features[0].mean(0)[1]
    torch.testing.assert_close(sampled(features, 2)[0, 1], expected, atol=1e-4, rtol=0)


def test_it_is_saved_with_the_generator_and_fits_once(features):
    network = ConditionalGenerator(architecture("tiny"), 3, 6)
    network.fit(*features)
    again = ConditionalGenerator(architecture("tiny"), 3, 6)
    again.load_state_dict(network.state_dict())
    noise = torch.randn(2, network.noise_dim)
    labels, ratio = torch.tensor([0, 1]), torch.ones(2)
    found = [p(features[0][:2], labels, noise, ratio).images for p in (network, again)]
    torch.testing.assert_close(*found)


def test_presets_without_grid_have_no_such_noise():
    small = architecture("tiny").model_copy(update={"grid_channels": 0})
    network = ConditionalGenerator(small, 3, 6)
    assert network.feature_noise is None
    assert network.noise_dim == small.style_dim + network.generator.noise_dim
