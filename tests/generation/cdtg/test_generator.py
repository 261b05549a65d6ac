import pytest
import torch

from tgn.generation.cdtg.generator import StyleGenerator, ToBands

CHANNELS = {4: 12, 8: 10, 16: 8}


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return StyleGenerator(32, 3, 16, 2, CHANNELS, grid_channels=5)


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return StyleGenerator(32, 3, 16, 2, CHANNELS)


def latents(batch=4):
    random = torch.Generator().manual_seed(1)
    z = torch.randn(batch, 16, generator=random)
    return z, torch.arange(batch) % 3, torch.randn(batch, 5, 16, 16, generator=random)


def with_noise(generator, batch=4):
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.3)
    flat = torch.randn(batch, generator.noise_dim, generator=torch.Generator().manual_seed(2))
    return generator.split_noise(flat)


def test_shapes(generator):
    z, labels, grid = latents()
    assert generator.noise_dim == 16 + 2 * 64 + 2 * 256
    assert generator(z, labels, with_noise(generator), grid).shape == (4, 3, 32, 32)


def test_it_begins_without_a_checkerboard():
    torch.manual_seed(0)
    layer, x = ToBands(256, 16, 3), torch.randn(4, 256, 8, 8)
    assert layer(x, torch.randn(4, 16)).square().mean().sqrt() < 0.1


def test_noise_maps_hold_the_flat_noise(plain):
    flat = torch.arange(2.0 * plain.noise_dim).reshape(2, -1)
    maps = plain.split_noise(flat)
    assert [m.shape[-1] for m in maps] == [4, 8, 8, 16, 16]
    assert torch.equal(torch.cat([m.flatten(1) for m in maps], dim=1), flat)


def test_an_image_depends_on_its_own_row_only(generator):
    z, labels, grid = latents()
    noise = with_noise(generator)
    together = generator(z, labels, noise, grid)
    alone = generator(z[2:3], labels[2:3], [m[2:3] for m in noise], grid[2:3])
    torch.testing.assert_close(alone, together[2:3], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("which", ["z", "label", "noise", "grid"])
def test_each_input_changes_the_image(generator, which):
    z, labels, grid = latents()
    noise = with_noise(generator)
    before = generator(z, labels, noise, grid)
    after = {
        "z": lambda: generator(-z, labels, noise, grid),
        "label": lambda: generator(z, (labels + 1) % 3, noise, grid),
        "noise": lambda: generator(z, labels, None, grid),
        "grid": lambda: generator(z, labels, noise, -grid),
    }[which]()
    assert ((after - before).flatten(1).abs().amax(1) > 1e-3).all()


def test_z_scale_matters_only_against_the_label(plain):
    z, labels, _ = latents()
    torch.nn.init.zeros_(plain.label_embedding.weight)
    torch.testing.assert_close(plain.mapping(2 * z, labels), plain.mapping(z, labels))


def test_path_length_penalty_reaches_every_used_parameter(generator):
    z, labels, grid = latents()
    w = generator.mapping(z, labels)
    images = generator.synthesis(w, with_noise(generator), grid)
    (slope,) = torch.autograd.grad((images * torch.randn_like(images)).sum(), w, create_graph=True)
    slope.square().sum().backward()
    without = [
        name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()
    ]
    # The bias of bands is added last and does not touch the slope.
    assert all(name.endswith("to_bands.bias") or name == "first_bands.bias" for name in without)


def test_bfloat16_channels_last_is_close_and_trains(generator):
    z, labels, grid = latents()
    noise = with_noise(generator)
    full = generator(z, labels, noise, grid)
    generator.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        half = generator(z, labels, noise, grid)
    assert half.dtype == torch.float32
    assert (half - full).abs().max() < 0.05 * full.abs().max()
    half.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


def test_gradient_of_the_whole_generator():
    small = StyleGenerator(16, 2, 4, 1, {4: 2, 8: 2}, image_channels=1).double()
    z = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: small(z, torch.tensor([1])), z)


def test_wrong_input_is_refused(generator, plain):
    z, labels, grid = latents()
    with pytest.raises(ValueError, match="grid must be"):
        generator(z, labels)
    with pytest.raises(ValueError, match="grid=None"):
        plain(z, labels, grid=grid)
    with pytest.raises(ValueError, match="flat noise"):
        plain.split_noise(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="sides"):
        plain(z, labels, noise=[torch.zeros(4, 1, 4, 4)])
    with pytest.raises(ValueError, match="w must be"):
        plain.synthesis(torch.zeros(2, 3, 16))
    with pytest.raises(ValueError, match="power of two"):
        StyleGenerator(48, 3, 16, 2, CHANNELS)
    with pytest.raises(ValueError, match="missing"):
        StyleGenerator(64, 3, 16, 2, CHANNELS)
    with pytest.raises(ValueError, match=r"grid must be \[4, 5, 16, 16\], got \[4, 5, 8, 8\]"):
        generator(z, labels, grid=grid[:, :, ::2, ::2])
