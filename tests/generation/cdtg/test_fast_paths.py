"""The fast ways to compute against the plain ones, first and second derivatives included.

In float64: what is left of a difference is not rounding.
"""

import pytest
import torch
from textbook import textbook

from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.losses import path_lengths, r1_penalty
from tgn.generation.cdtg.presets import architecture, build_discriminator
from tgn.runtime.seeds import generator

CLASSES, FEATURES, BATCH = 5, 16, 4


@pytest.fixture(params=["tiny", "base"])
def network(request):
    torch.manual_seed(0)
    network = ConditionalGenerator(architecture(request.param), CLASSES, FEATURES)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # biases and strengths start at zero
    return network


def given(network, dtype=torch.float64):
    draw = generator(0, "given")
    return (
        torch.randn(BATCH, FEATURES, 8, 8, generator=draw, dtype=dtype),
        torch.arange(BATCH),
        torch.randn(BATCH, network.noise_dim, generator=draw, dtype=dtype),
        torch.linspace(0, 1, BATCH, dtype=dtype),
    )


def assert_equal_to_the_textbook(net, compute):
    """``compute`` gives a tensor and a loss; the tensor and the loss's gradients must agree."""

    def both():
        result, loss = compute()
        found = torch.autograd.grad(loss, [*net.parameters()], allow_unused=True)
        return result.detach(), [gradient for gradient in found if gradient is not None]

    ours = both()
    with textbook():
        plain = both()
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)
    assert len(ours[1]) > 10


def test_images_and_their_gradients(network):
    def compute():
        images = network(*given(network)).images
        return images, images.square().mean()

    assert_equal_to_the_textbook(network.double(), compute)


def test_path_length_and_its_gradient(network):
    def compute():
        output = network(*given(network))
        noise = torch.randn(output.images.shape, generator=generator(0, "path")).double()
        lengths = path_lengths(output.images, output.styles, noise)
        return lengths, lengths.square().mean()

    assert_equal_to_the_textbook(network.double(), compute)


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_r1_and_its_gradient(preset):
    torch.manual_seed(0)
    numbers = architecture(preset)
    net = build_discriminator(numbers, CLASSES).double()
    images = torch.randn(BATCH, 3, numbers.size, numbers.size).double().requires_grad_(True)

    def compute():
        penalty = r1_penalty(net(images, torch.arange(BATCH)), images)
        return penalty, penalty

    assert_equal_to_the_textbook(net, compute)


def test_bf16_images_are_those_of_float32(network):
    batch = given(network, torch.float32)
    with torch.no_grad():
        exact = network(*batch).images
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(*batch).images
    peak = (exact.max() - exact.min()).square()
    psnr = 10 * (peak / (rounded - exact).square().mean()).log10()
    assert psnr > 40
