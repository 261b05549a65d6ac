"""The fast ways to compute against the plain ones, first and second derivatives included.

In float64: what is left of a difference is not rounding.
"""

import pytest
import torch
from textbook import textbook

from tgn.generation.cdtg.architecture import Architecture, recombining_architecture
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator, Source
from tgn.generation.cdtg.losses import path_lengths
from tgn.runtime.seeds import generator

CLASSES, FEATURES, BATCH = 5, 16, 4
IMPORTED = Architecture(
    size=32,
    bands=3,
    recombines=False,
    style_dim=24,
    mapping_layers=2,
    channels={4: 24, 8: 16, 16: 12},
)
ARCHITECTURES = {"recombining": recombining_architecture(64, 3, 32), "imported": IMPORTED}


class NothingRecombined(torch.nn.Module):
    """Stands for recombination, which has one way to compute, in float32: the sources as they are.

    It is drawn in any precision.
    """

    def forward(self, sources, labels, noise, ratio):
        return sources


@pytest.fixture(params=ARCHITECTURES)
def network(request):
    torch.manual_seed(0)
    network = ConditionalGenerator(ARCHITECTURES[request.param], CLASSES, FEATURES)
    network.fusion.standardise(torch.randn(BATCH, FEATURES, 2, 2))
    if network.recombination is not None:
        network.recombination = NothingRecombined()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # biases and strengths start at zero
    return network


def given(network, dtype=torch.float64):
    draw, numbers = generator(0, "given"), network.architecture
    features = torch.randn(BATCH, FEATURES, 8, 8, generator=draw, dtype=dtype)
    shape = BATCH, numbers.bands, numbers.size, numbers.size
    return (
        Source(features, torch.rand(shape, generator=draw, dtype=dtype) * 2 - 1),
        torch.arange(BATCH),
        torch.randn(BATCH, network.noise_dim, generator=draw, dtype=dtype),
        torch.linspace(0, 1, BATCH, dtype=dtype),
    )


def assert_equal_to_the_textbook(net, compute):
    """``compute`` gives a tensor and a loss; the tensor and the loss's gradients must agree."""
    trained = [*net.generator.parameters(), *net.fusion.parameters()]

    def both():
        result, loss = compute()
        found = torch.autograd.grad(loss, trained, allow_unused=True)
        return result.detach(), [gradient for gradient in found if gradient is not None]

    ours = both()
    with textbook():
        plain = both()
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)
    assert len(ours[1]) > 10


def test_images_and_their_gradients(network):
    network.double()
    weights = torch.randn(_made(network).images.shape, generator=generator(0, "loss"))

    def compute():
        images = _made(network).images
        return images, (weights.double() * images).mean()

    assert_equal_to_the_textbook(network, compute)


def _made(network):
    return network(*given(network))


def test_path_length_and_its_gradient(network):
    def compute():
        made = _made(network)
        noise = torch.randn(made.images.shape, generator=generator(0, "path")).double()
        lengths = path_lengths(made.images, made.styles, noise)
        return lengths, lengths.square().mean()

    assert_equal_to_the_textbook(network.double(), compute)


def test_bf16_images_are_those_of_float32(network):
    batch = given(network, torch.float32)
    with torch.no_grad():
        exact = network(*batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(*batch)
    # Of what the generator draws: what it is given is the same in both.
    base = 0 if exact.given is None else exact.given
    peak = ((exact.images - base).max() - (exact.images - base).min()).square()
    psnr = 10 * (peak / (rounded.images - exact.images).square().mean()).log10()
    assert psnr > 40
