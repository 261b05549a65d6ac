import pytest
import torch

from tgn.generation.cdtg.fusion import Fusion


@pytest.fixture
def fusion():
    torch.manual_seed(0)
    return Fusion(feature_channels=6, style_dim=16, grid_channels=4, grid_size=8)


def inputs(batch=3, side=2):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 6, side, side, generator=generator),
        torch.randn(batch, 16, generator=generator),
        torch.randn(batch, 4, 8, 8, generator=generator),
    )


def test_r_one_is_the_noise(fusion):
    features, noise_z, noise_grid = inputs()
    z, grid = fusion(features, noise_z, noise_grid, torch.ones(3))
    torch.testing.assert_close(z, noise_z)
    torch.testing.assert_close(grid, noise_grid)


@pytest.mark.parametrize("side", [1, 2, 14])
def test_r_zero_is_the_feature_with_second_moment_one(fusion, side):
    features, noise_z, noise_grid = inputs(side=side)
    z, grid = fusion(1000 * features, noise_z, noise_grid, torch.zeros(3))
    torch.testing.assert_close(z.square().mean(1), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(grid.square().mean((1, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)
    again, _ = fusion(1000 * features, -noise_z, noise_grid, torch.zeros(3))
    torch.testing.assert_close(again, z)


def test_r_mixes_each_sample_linearly(fusion):
    features, noise_z, noise_grid = inputs()
    r = torch.tensor([0.0, 0.25, 0.9])
    fused, fused_grid = fusion(features, noise_z, noise_grid, torch.zeros(3))
    z, grid = fusion(features, noise_z, noise_grid, r)
    torch.testing.assert_close(z, r[:, None] * noise_z + (1 - r[:, None]) * fused)
    r = r[:, None, None, None]
    torch.testing.assert_close(grid, r * noise_grid + (1 - r) * fused_grid)


def test_grid_keeps_the_place_of_a_feature(fusion):
    features = torch.zeros(1, 6, 8, 8)
    features[0, :, 2, 5] = 1.0
    _, noise_z, noise_grid = inputs(batch=1)
    _, grid = fusion(features, noise_z, noise_grid, torch.zeros(1))
    assert grid.abs().sum(dim=(0, 1)).nonzero().tolist() == [[2, 5]]


def test_standardise_tells_similar_features_apart(fusion):
    features, noise_z, noise_grid = inputs(batch=8)
    features = features + 100
    features[:, 0] = 7.0

    def alike():
        z, _ = fusion(features, noise_z.repeat(3, 1)[:8], noise_grid, torch.zeros(8))
        return torch.nn.functional.cosine_similarity(z[:1], z[1:]).mean()

    assert alike() > 0.99
    fusion.standardise(features)
    assert fusion.feature_scale[0] == 0
    assert alike() < 0.7
    assert "feature_mean" in fusion.state_dict()


def test_no_grid():
    fusion = Fusion(6, 16, grid_channels=0, grid_size=4)
    features, noise_z, _ = inputs()
    z, grid = fusion(features, noise_z, None, torch.full((3,), 0.5))
    assert z.shape == (3, 16)
    assert grid is None


def test_every_parameter_gets_a_gradient(fusion):
    features, noise_z, noise_grid = inputs()
    z, grid = fusion(features, noise_z, noise_grid, torch.full((3,), 0.5))
    (z.sum() + grid.pow(3).sum()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in fusion.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": torch.full((3,), 1.1)}, r"\[0, 1\]"),
        ({"r": torch.full((3,), float("nan"))}, r"\[0, 1\]"),
        ({"r": torch.tensor(0.5)}, "r must be"),
        ({"features": torch.zeros(3, 5, 2, 2)}, "features"),
        ({"noise_z": torch.zeros(2, 16)}, "noise_z"),
        ({"noise_grid": None}, "noise_grid"),
    ],
)
def test_wrong_input_is_refused(fusion, change, message):
    features, noise_z, noise_grid = inputs()
    arguments = {"features": features, "noise_z": noise_z, "noise_grid": noise_grid}
    arguments["r"] = torch.full((3,), 0.5)
    with pytest.raises(ValueError, match=message):
        fusion(**(arguments | change))
