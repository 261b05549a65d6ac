"""The fast ways to compute against the plain ones, first and second derivatives included.

In float64: what is left of a difference is not rounding.
"""

import pytest
import torch
from textbook import textbook

from tgn.generation.cdtg.architecture import Architecture, latent_architecture
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator, Source
from tgn.generation.cdtg.losses import path_lengths
from tgn.runtime.seeds import generator

CLASSES, FEATURES, BATCH = 5, 16, 4
OF_PIXELS = Architecture(
    size=32,
    bands=3,
    in_latents=False,
    style_dim=24,
    mapping_layers=2,
    channels={4: 24, 8: 16, 16: 12},
)
ARCHITECTURES = {"latents": latent_architecture(64, 3, 32), "pixels": OF_PIXELS}


@pytest.fixture(params=ARCHITECTURES)
def network(request):
    torch.manual_seed(0)
    network = ConditionalGenerator(ARCHITECTURES[request.param], CLASSES, FEATURES)
    latents = _latents(network, torch.float32)
    features = torch.randn(BATCH, FEATURES, 2, 2)
    network.fit(features, torch.arange(BATCH), latents)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # biases and strengths start at zero
    return network


def _latents(network, dtype):
    if not network.architecture.in_latents:
        return None
    shape = (BATCH, network.architecture.latents.channels, 16, 16)
    return torch.randn(shape, generator=generator(0, "latents"), dtype=dtype)


def given(network, dtype=torch.float64):
    draw = generator(0, "given")
    features = torch.randn(BATCH, FEATURES, 8, 8, generator=draw, dtype=dtype)
    return (
        Source(features, _latents(network, dtype)),
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


def test_codes_and_their_gradients(network):
    weights = torch.randn(_codes(network.double()).codes.shape, generator=generator(0, "loss"))

    def compute():
        codes = _codes(network).codes
        return codes, (weights.double() * codes).square().mean()  # latents have second moment 1

    assert_equal_to_the_textbook(network, compute)


def _codes(network):
    return network.codes(*given(network))


def test_path_length_and_its_gradient(network):
    def compute():
        made = _codes(network)
        noise = torch.randn(made.codes.shape, generator=generator(0, "path")).double()
        lengths = path_lengths(made.codes, made.styles, noise)
        return lengths, lengths.square().mean()

    assert_equal_to_the_textbook(network.double(), compute)


def test_bf16_codes_are_those_of_float32(network):
    batch = given(network, torch.float32)
    with torch.no_grad():
        exact = network.codes(*batch).codes
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network.codes(*batch).codes
    peak = (exact.max() - exact.min()).square()
    psnr = 10 * (peak / (rounded - exact).square().mean()).log10()
    assert psnr > 40
