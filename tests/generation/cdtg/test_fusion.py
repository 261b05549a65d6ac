import pytest
import torch

from tgn.generation.cdtg.fusion import Fusion


@pytest.fixture
def fusion():
    torch.manual_seed(0)
    return Fusion(feature_channels=6, style_dim=16)


def inputs(batch=3, side=2):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 6, side, side, generator=generator),
        torch.randn(batch, 16, generator=generator),
    )


def test_r_one_is_the_noise(fusion):
    features, noise = inputs()
    assert torch.equal(fusion(features, noise, torch.ones(3)), noise)


@pytest.mark.parametrize("side", [1, 2, 14])
def test_r_zero_is_the_feature_with_second_moment_one(fusion, side):
    features, noise = inputs(side=side)
    z = fusion(1000 * features, noise, torch.zeros(3))
    torch.testing.assert_close(z.square().mean(1), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(fusion(1000 * features, -noise, torch.zeros(3)), z)


def test_r_mixes_each_sample_linearly(fusion):
    features, noise = inputs()
    r = torch.tensor([0.0, 0.25, 0.9])
    fused = fusion(features, noise, torch.zeros(3))
    expected = r[:, None] * noise + (1 - r[:, None]) * fused
    torch.testing.assert_close(fusion(features, noise, r), expected)


def test_standardise_tells_similar_features_apart(fusion):
    features, noise = inputs(batch=8)
    features = features + 100
    features[:, 0] = 7.0

    def alike():
        z = fusion(features, noise, torch.zeros(8))
        return torch.nn.functional.cosine_similarity(z[:1], z[1:]).mean()

    assert alike() > 0.99
    fusion.standardise(features)
    assert fusion.feature_scale[0] == 0
    assert alike() < 0.7
    assert "feature_mean" in fusion.state_dict()


def test_pooled_features_have_mean_0_and_variance_1_and_no_places(fusion):
    features = 5 + 3 * torch.randn(200, 6, 2, 2)
    fusion.standardise(features)
    pooled = fusion.pooled(features)
    assert pooled.shape == (200, 6)
    torch.testing.assert_close(pooled.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(pooled.var(0, correction=0), torch.ones(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(fusion.pooled(features.flip(2, 3)), pooled)


def test_every_parameter_gets_a_gradient(fusion):
    fusion(*inputs(), torch.full((3,), 0.5)).pow(3).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in fusion.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": torch.full((3,), 1.1)}, r"\[0, 1\]"),
        ({"r": torch.full((3,), float("nan"))}, r"\[0, 1\]"),
        ({"r": torch.tensor(0.5)}, "r must be"),
        ({"features": torch.zeros(3, 5, 2, 2)}, "features"),
        ({"noise": torch.zeros(2, 16)}, "noise must be"),
    ],
)
def test_wrong_input_is_refused(fusion, change, message):
    features, noise = inputs()
    arguments = {"features": features, "noise": noise, "r": torch.full((3,), 0.5)}
    with pytest.raises(ValueError, match=message):
        fusion(**(arguments | change))
