"""Sources, noise and r to images: what each of them decides, and what it costs."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tgn.generation.cdtg.architecture import (
    Architecture,
    build_generator,
    recombining_architecture,
)
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator, Source
from tgn.generation.cdtg.recombination import NOISE_DIM
from tgn.generation.cdtg.resampling import upsample

CLASSES, FEATURES = 3, 6
IMPORTED = Architecture(
    size=32,
    bands=3,
    recombines=False,
    style_dim=16,
    mapping_layers=1,
    channels={4: 16, 8: 16, 16: 8},
)


def untrained(size: int = 32, bands: int = 3) -> ConditionalGenerator:
    torch.manual_seed(0)
    numbers = recombining_architecture(size, bands, width=16)
    network = ConditionalGenerator(numbers, CLASSES, FEATURES).eval()
    network.fusion.standardise(torch.randn(24, FEATURES, 2, 2))
    images = torch.randint(0, 256, (12, bands, size, size), dtype=torch.uint8)
    network.recombination.keep(images, torch.arange(12) % CLASSES, [*map(str, range(12))])
    return network


@pytest.fixture
def network() -> ConditionalGenerator:
    """As if trained: every parameter of the generator has a say."""
    network = untrained()
    with torch.no_grad():
        for parameter in network.generator.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return network


def drawn(network: ConditionalGenerator, count: int = 4, seed: int = 1):
    """Return a source, labels and noise."""
    draw, numbers = torch.Generator().manual_seed(seed), network.architecture
    shape = count, numbers.bands, numbers.size, numbers.size
    features = torch.randn(count, FEATURES, 2, 2, generator=draw)
    source = Source(features, torch.rand(shape, generator=draw) * 2 - 1)
    noise = torch.randn(count, network.noise_dim, generator=draw)
    return source, torch.arange(count) % CLASSES, noise


def images(network, source, labels, noise, ratio: float) -> torch.Tensor:
    with torch.no_grad():
        return network(source, labels, noise, torch.full((len(labels),), ratio)).images


def test_at_r_0_it_is_given_the_source_and_changes_nothing_before_training():
    network = untrained()
    source, labels, noise = drawn(network)
    with torch.no_grad():
        made = network(source, labels, noise, torch.zeros(4))
    assert (made.given - source.images).abs().max() < 1e-6
    assert torch.equal(made.images, made.given)
    found = images(network, source, labels, noise, 0.7)
    assert not torch.allclose(found, source.images, atol=0.01)


def test_at_r_1_nothing_of_the_source_is_left(network):
    source, labels, noise = drawn(network)
    other, _, other_noise = drawn(network, seed=2)
    before = images(network, source, labels, noise, 1.0)
    assert torch.equal(before, images(network, other, labels, noise, 1.0))
    assert not torch.allclose(before, images(network, source, labels, other_noise, 1.0), atol=0.01)


@pytest.mark.parametrize("part", ["features", "images", "noise", "labels"])
def test_between_them_everything_counts(network, part):
    source, labels, noise = drawn(network)
    other, _, other_noise = drawn(network, seed=2)
    before = images(network, source, labels, noise, 0.5)
    if part == "noise":
        after = images(network, source, labels, other_noise, 0.5)
    elif part == "labels":
        after = images(network, source, (labels + 1) % CLASSES, noise, 0.5)
    else:
        changed = source._replace(**{part: getattr(other, part)})
        after = images(network, changed, labels, noise, 0.5)
    assert ((after - before).flatten(1).abs().amax(1) > 1e-3).all()


def test_the_generator_changes_what_it_is_given_at_half_the_resolution(network):
    source, labels, noise = drawn(network)
    calls = []
    synthesis = network.generator.synthesis

    def listens(styles, maps, grid):
        calls.append((grid, synthesis(styles, maps, grid)))
        return calls[-1][1]

    network.generator.synthesis = listens
    with torch.no_grad():
        made = network(source, labels, noise, torch.full((4,), 0.5))
    ((grid, change),) = calls
    assert change.shape == (4, 3, 16, 16)
    assert grid.shape == (4, 48, 8, 8)
    torch.testing.assert_close(grid.square().mean(), made.given.square().mean())  # orthonormal
    torch.testing.assert_close(made.images, made.given + upsample(change))


def test_each_image_is_of_its_own_row(network):
    source, labels, noise = drawn(network)
    for ratio in (0.0, 0.3, 1.0):
        together = images(network, source, labels, noise, ratio)
        own = slice(2, 3)
        alone = Source(source.features[own], source.images[own])
        found = images(network, alone, labels[own], noise[own], ratio)
        torch.testing.assert_close(found, together[own], atol=1e-4, rtol=1e-4)


def test_every_number_of_noise_is_of_one_part_alone(network):
    source, labels, noise = drawn(network, count=1)
    own = network.noise_dim - NOISE_DIM  # of latent and layers, ahead of the recombination's
    assert own == network.architecture.style_dim + network.generator.noise_dim
    ratio = torch.tensor([0.4])
    leaf = noise.clone().requires_grad_()
    made = network(source, labels, leaf, ratio)
    (slope,) = torch.autograd.grad((made.images * torch.randn_like(made.images)).sum(), leaf)
    assert (slope[:, :own] != 0).all()
    changed = torch.cat([torch.randn(1, own), noise[:, own:]], dim=1)
    assert torch.equal(network(source, labels, changed, ratio).given, made.given)
    changed = torch.cat([noise[:, :own], torch.randn(1, NOISE_DIM)], dim=1)
    other = network(source, labels, changed, ratio)
    assert torch.equal(other.styles, made.styles)
    assert not torch.allclose(other.given, made.given, atol=0.01)


def test_gradient_goes_into_generator_and_fusion(network):
    source, labels, noise = drawn(network)
    made = network(source, labels, noise, torch.full((4,), 0.5)).images
    (made * torch.randn_like(made)).sum().backward()
    trained = [*network.generator.parameters(), *network.fusion.parameters()]
    assert len(trained) == len([*network.parameters()])
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in trained)


def test_its_state_is_all_of_it(network):
    again = ConditionalGenerator(network.architecture, CLASSES, FEATURES)
    again.load_state_dict(network.state_dict())
    given = *drawn(network), torch.tensor([0.0, 0.4, 0.8, 1.0])
    for ours, theirs in zip(again(*given), network(*given), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_imported_generator_draws_from_nothing():
    network = ConditionalGenerator(IMPORTED, CLASSES, FEATURES)
    assert network.recombination is None
    assert network.noise_dim == IMPORTED.style_dim + network.generator.noise_dim
    source, labels, noise = drawn(network, count=2)
    made = network(source, labels, noise, torch.rand(2))
    assert made.given is None
    assert made.images.shape == (2, 3, 32, 32)
    other = network.generator(
        network.fusion(source.features, noise[:, :16], torch.ones(2)),
        labels,
        network.generator.split_noise(noise[:, 16:]),
    )
    torch.testing.assert_close(network(source, labels, noise, torch.ones(2)).images, other)


@pytest.mark.parametrize(("size", "bands"), [(32, 3), (64, 1), (128, 3), (256, 3)])
def test_images_of_every_size(size, bands):
    network = untrained(size, bands)
    source, labels, noise = drawn(network, count=2)
    with torch.no_grad():
        made = network(source, labels, noise, torch.tensor([0.0, 1.0]))
    assert made.images.shape == made.given.shape == (2, bands, size, size)
    assert made.images.isfinite().all()
    assert set(network.generator.resolutions) == set(network.architecture.channels)
    assert max(network.generator.resolutions) == size // 4


def test_the_cost_of_a_pixel_does_not_grow_with_the_image():
    cost = {}
    for size in (64, 256):
        numbers = recombining_architecture(size, 3, width=32)
        generator = build_generator(numbers, CLASSES)
        grid = torch.randn(2, 48, size // 4, size // 4)
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            generator(torch.randn(2, 64), torch.tensor([0, 1]), None, grid)
        cost[size] = counted.get_total_flops()
    assert 0 < cost[64] < cost[256] < 16 * cost[64]


def test_an_architecture_survives_json():
    for numbers in (IMPORTED, recombining_architecture(64, 1, 96)):
        assert Architecture.model_validate_json(numbers.model_dump_json()) == numbers
