"""Sources, noise and r to latents and images: what each of them decides, and what it costs."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tgn.generation.cdtg.architecture import (
    Architecture,
    build_generator,
    latent_architecture,
)
from tgn.generation.cdtg.conditional_generator import (
    LATENT_VARIATIONS,
    WHITE,
    ConditionalGenerator,
    Source,
)
from tgn.generation.latents.autoencoder import Autoencoder, unit_moment

CLASSES, FEATURES = 3, 6
OF_PIXELS = Architecture(
    size=32,
    bands=3,
    in_latents=False,
    style_dim=16,
    mapping_layers=1,
    channels={4: 16, 8: 16, 16: 8},
)


def untrained(size: int = 32, bands: int = 3) -> ConditionalGenerator:
    torch.manual_seed(0)
    numbers = latent_architecture(size, bands, width=16)
    network = ConditionalGenerator(numbers, CLASSES, FEATURES).eval()
    labels = torch.arange(24) % CLASSES
    latents = unit_moment(labels.view(-1, 1, 1, 1) + torch.randn(24, *shape_of(network)))
    network.fit(torch.randn(24, FEATURES, 2, 2), labels, latents)
    return network


@pytest.fixture
def network() -> ConditionalGenerator:
    """As if trained: every parameter of the generator has a say."""
    network = untrained()
    with torch.no_grad():
        for parameter in network.generator.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return network


def shape_of(network: ConditionalGenerator) -> tuple[int, int, int]:
    return network.architecture.latents.channels, 16, 16


def drawn(network: ConditionalGenerator, count: int = 4, seed: int = 1):
    """Return a source, labels and noise."""
    draw = torch.Generator().manual_seed(seed)
    latents = unit_moment(torch.randn(count, *shape_of(network), generator=draw))
    source = Source(torch.randn(count, FEATURES, 2, 2, generator=draw), latents)
    noise = torch.randn(count, network.noise_dim, generator=draw)
    return source, torch.arange(count) % CLASSES, noise


def codes(network, source, labels, noise, ratio: float) -> torch.Tensor:
    with torch.no_grad():
        return network.codes(source, labels, noise, torch.full((len(labels),), ratio)).codes


def cosines(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(ours.flatten(1), theirs.flatten(1))


def test_at_r_0_the_untrained_generator_gives_back_the_source():
    network = untrained()
    source, labels, noise = drawn(network)
    found = codes(network, source, labels, noise, 0.0)
    assert cosines(found, source.latents).min() > 0.95
    assert cosines(found, source.latents.roll(1, 0)).max() < 0.2
    # Nothing is left between latents and bands: without bands it is the source to the bit.
    for name, parameter in network.generator.named_parameters():
        if "bands" in name:
            torch.nn.init.zeros_(parameter)
    exact = codes(network, source, labels, noise, 0.0)
    torch.testing.assert_close(exact, source.latents)
    ratio = torch.zeros(4)
    with torch.no_grad():
        torch.testing.assert_close(
            network(source, labels, noise, ratio), network.autoencoder.decode(source.latents)
        )


def test_at_r_1_nothing_of_the_source_is_left(network):
    source, labels, noise = drawn(network)
    other, _, other_noise = drawn(network, seed=2)
    assert torch.equal(
        codes(network, source, labels, noise, 1.0), codes(network, other, labels, noise, 1.0)
    )
    changed = codes(network, source, labels, other_noise, 1.0)
    assert not torch.allclose(codes(network, source, labels, noise, 1.0), changed, atol=0.01)


@pytest.mark.parametrize("part", ["features", "latents", "noise", "labels"])
def test_between_them_everything_counts(network, part):
    source, labels, noise = drawn(network)
    other, _, other_noise = drawn(network, seed=2)
    before = codes(network, source, labels, noise, 0.5)
    if part == "noise":
        after = codes(network, source, labels, other_noise, 0.5)
    elif part == "labels":
        after = codes(network, source, (labels + 1) % CLASSES, noise, 0.5)
    else:
        changed = source._replace(**{part: getattr(other, part)})
        after = codes(network, changed, labels, noise, 0.5)
    assert ((after - before).flatten(1).abs().amax(1) > 1e-3).all()


def test_the_more_noise_the_further_from_the_source():
    network = untrained()
    given = drawn(network)
    ratios = (0.0, 0.4, 0.8, 1.0)
    near = [cosines(codes(network, *given, r), given[0].latents).mean() for r in ratios]
    assert near == sorted(near, reverse=True)
    assert near[-1] < 0.5


def test_codes_are_latents_of_second_moment_1_and_each_row_is_its_own(network):
    source, labels, noise = drawn(network)
    for ratio in (0.0, 0.3, 1.0):
        together = codes(network, source, labels, noise, ratio)
        moments = together.square().mean((1, 2, 3))
        torch.testing.assert_close(moments, torch.ones(4), rtol=1e-3, atol=0)
        alone = codes(network, source.part(slice(2, 3)), labels[2:3], noise[2:3], ratio)
        torch.testing.assert_close(alone, together[2:3], atol=1e-4, rtol=1e-4)


def test_what_the_generator_is_given_at_r_1_is_noise_of_the_class(network):
    source, _, _ = drawn(network)
    labels, weights = torch.zeros(200, dtype=torch.int64), torch.randn(200, LATENT_VARIATIONS)
    white = torch.randn(200, *shape_of(network))
    latents = source.latents[:1].expand_as(white)
    given = network._with_noise(latents, [weights, white.flatten(1)], labels, torch.ones(200))
    of_class = unit_moment(network.latent_noise(weights, labels))
    share = cosines(given, white).mean().item()
    assert share == pytest.approx(WHITE**0.5, abs=0.03)
    assert cosines(given, of_class).mean().item() == pytest.approx((1 - WHITE) ** 0.5, abs=0.03)


def test_every_number_of_noise_is_used_once(network):
    source, labels, noise = drawn(network, count=1)
    noise = noise.requires_grad_()
    made = network.codes(source, labels, noise, torch.tensor([0.5])).codes
    (slope,) = torch.autograd.grad((made * torch.randn_like(made)).sum(), noise)
    assert (slope != 0).all()


def test_gradient_goes_into_generator_and_fusion_and_not_into_the_autoencoder(network):
    source, labels, noise = drawn(network)
    images = network(source, labels, noise, torch.full((4,), 0.5))
    (images * torch.randn_like(images)).sum().backward()
    trained = [*network.generator.parameters(), *network.fusion.parameters()]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in trained)
    assert all(parameter.grad is None for parameter in network.autoencoder.parameters())
    assert not any(parameter.requires_grad for parameter in network.autoencoder.parameters())


def test_its_state_is_all_of_it(network):
    again = ConditionalGenerator(network.architecture, CLASSES, FEATURES)
    again.load_state_dict(network.state_dict())
    given = *drawn(network), torch.tensor([0.0, 0.4, 0.8, 1.0])
    torch.testing.assert_close(again(*given), network(*given))
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(again.encode(images), network.encode(images))


def test_the_autoencoder_that_it_is_given_is_the_one_that_decodes():
    numbers = latent_architecture(32, 1, width=16)
    autoencoder = Autoencoder(numbers.latents)
    network = ConditionalGenerator(numbers, CLASSES, FEATURES, autoencoder)
    latents = torch.randn(2, *shape_of(network))
    assert torch.equal(network.decode(latents), autoencoder.decode(latents))


def test_a_generator_of_pixels_needs_no_latents():
    network = ConditionalGenerator(OF_PIXELS, CLASSES, FEATURES)
    network.fit(torch.randn(9, FEATURES, 2, 2), torch.arange(9) % 3, latents=None)
    assert network.noise_dim == OF_PIXELS.style_dim + network.generator.noise_dim
    assert network.encode(torch.zeros(1, 3, 32, 32)) is None
    source = Source(torch.randn(2, FEATURES, 2, 2), None)
    given = source, torch.tensor([0, 2]), torch.randn(2, network.noise_dim), torch.rand(2)
    images = network(*given)
    assert images.shape == (2, 3, 32, 32)
    assert torch.equal(images, network.codes(*given).codes)
    assert source.part(slice(1)).latents is None


@pytest.mark.parametrize(("size", "bands"), [(32, 3), (64, 1), (128, 3), (256, 3)])
def test_images_of_every_size(size, bands):
    network = untrained(size, bands)
    channels = size // 4
    assert shape_of(network) == (channels, 16, 16)
    source, labels, noise = drawn(network, count=2)
    ratio = torch.tensor([0.0, 1.0])
    with torch.no_grad():
        made = network.codes(source, labels, noise, ratio).codes
        images = network.decode(made)
    assert made.shape == (2, channels, 16, 16)
    assert images.shape == (2, bands, size, size)
    assert network.encode(images).shape == made.shape


def test_the_cost_of_the_generator_does_not_grow_with_the_image():
    cost = {}
    for size in (32, 256):
        numbers = latent_architecture(size, 3, width=32)
        generator = build_generator(numbers, CLASSES)
        shape = (2, numbers.latents.channels, 16, 16)
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            generator(torch.randn(2, 64), torch.tensor([0, 1]), None, torch.randn(shape))
        cost[size] = counted.get_total_flops()
        assert set(generator.resolutions) == set(numbers.channels) == {4, 8, 16}
    assert 0 < cost[32] < cost[256] < 1.2 * cost[32]  # in pixels: more than 64 times as much


def test_an_architecture_survives_json():
    for numbers in (OF_PIXELS, latent_architecture(64, 1, 96)):
        assert Architecture.model_validate_json(numbers.model_dump_json()) == numbers
