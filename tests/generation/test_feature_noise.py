import pytest
import torch

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


def test_variations_are_deviations_of_the_first_images_of_a_class(features):
    table, labels = features
    noise = FeatureNoise(3, 6, 4)
    noise.fit(table, labels)
    assert noise.variations.shape == (3 * VARIATIONS, 6, 4, 4)
    means = table[labels == 0].mean(0)
    weights = torch.zeros(3, VARIATIONS)
    weights[:, :2] = torch.tensor([[1.0, 0.0], [0.0, -5.0], [3.0, 4.0]])
    found = noise(weights, torch.zeros(3, dtype=torch.int64))
    first, second = table[0] - means, table[1] - means
    expected = torch.stack([first, -second, 0.6 * first + 0.8 * second]) + means
    torch.testing.assert_close(found, expected)


def test_a_class_varies_as_itself_and_not_as_another():
    table, labels = torch.zeros(8, 2, 4, 4), torch.arange(8) % 2
    table[labels == 0, 0] = torch.randn(4, 4, 4)
    table[labels == 1, 1] = torch.randn(4, 4, 4)
    noise = FeatureNoise(2, 2, 4)
    noise.fit(table, labels)
    found = noise(torch.randn(2, VARIATIONS), torch.tensor([0, 1]))
    assert (found[0, 0].std() > 0, found[1, 1].std() > 0) == (True, True)
    assert not found[0, 1].any()
    assert not found[1, 0].any()
