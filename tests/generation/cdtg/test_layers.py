import math

import pytest
import torch
from textbook import modulated
from torch.nn import functional as F

from tgn.generation.cdtg.layers import (
    DemodulatedConv2d,
    DemodulatedUpConv2d,
    EqualizedConv2d,
    EqualizedLinear,
    ModulatedConv2d,
    StyledLayer,
    pixel_norm,
)
from tgn.generation.cdtg.resampling import upsample

FILTER = torch.outer(*2 * [torch.tensor([1.0, 3.0, 3.0, 1.0])]) / 64


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


LAYERS = {
    "plain": lambda: ModulatedConv2d(6, 5, 1, 7),
    "demodulated": lambda: DemodulatedConv2d(6, 5, 3, 7),
    "doubling": lambda: DemodulatedUpConv2d(6, 5, 7),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_modulated_convolutions_equal_the_textbook(kind):
    layer, x, style = LAYERS[kind](), torch.randn(3, 6, 8, 8), torch.randn(3, 7)
    expected = modulated(layer, x, style)
    torch.testing.assert_close(layer(x, style), expected, atol=1e-5, rtol=1e-5)


def test_demodulated_output_has_second_moment_two():
    # Two is the activation's gain squared; any style gives it when the input is white.
    layer = DemodulatedConv2d(32, 64, 3, 16)
    out = layer(torch.randn(8, 32, 16, 16), 5 * torch.randn(8, 16))[:, :, 1:-1, 1:-1]
    assert out.square().mean().item() == pytest.approx(2.0, rel=0.05)


def test_style_scale_changes_nothing_after_demodulation():
    layer, x, style = DemodulatedConv2d(6, 5, 3, 7), torch.randn(2, 6, 8, 8), torch.randn(2, 7)
    before = layer(x, style)
    with torch.no_grad():
        layer.modulation.weight *= 3
        layer.modulation.bias *= 3
    torch.testing.assert_close(layer(x, style), before, atol=1e-5, rtol=1e-5)


def test_styled_layer_of_known_values():
    layer = StyledLayer(DemodulatedConv2d(1, 1, 1, 2))
    with torch.no_grad():
        layer.conv.weight.fill_(-3.0)
        layer.conv.modulation.weight.zero_()
        layer.noise_strength.fill_(0.5)
        layer.bias.fill_(0.25)
    # Demodulation leaves the weight's sign: -x + noise / 2 + bias, then leaky ReLU times sqrt 2.
    x, noise = torch.full((1, 1, 1, 1), 1.0), torch.full((1, 1, 1, 1), 0.5)
    out = layer(x, torch.zeros(1, 2), noise)
    assert out.item() == pytest.approx(-0.5 * 0.2 * math.sqrt(2), abs=1e-6)
    assert layer(-x, torch.zeros(1, 2), None).item() == pytest.approx(1.25 * math.sqrt(2), abs=1e-6)


def test_upsample_equals_zeros_then_filter():
    x = torch.randn(2, 3, 5, 6)
    spread = torch.zeros(2, 3, 10, 12)
    spread[:, :, ::2, ::2] = x
    kernel = (FILTER * 4).expand(3, 1, 4, 4)
    expected = F.conv2d(F.pad(spread, (2, 1, 2, 1)), kernel, groups=3)
    torch.testing.assert_close(upsample(x), expected, atol=1e-6, rtol=1e-6)


def test_equalised_layers_keep_the_second_moment():
    x = torch.randn(64, 128)
    assert EqualizedLinear(128, 256)(x).square().mean().item() == pytest.approx(1, rel=0.1)
    slow = EqualizedLinear(128, 256, bias=2.0, lr_multiplier=0.01)
    assert slow(torch.zeros(1, 128)).mean().item() == pytest.approx(2.0)
    assert slow(x).var().item() == pytest.approx(1, rel=0.1)
    inner = EqualizedConv2d(16, 64, 3)(torch.randn(8, 16, 8, 8))[:, :, 1:-1, 1:-1]
    assert inner.square().mean().item() == pytest.approx(1, rel=0.1)


def test_linear_stays_in_full_precision_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert EqualizedLinear(4, 4)(torch.randn(2, 4)).dtype == torch.float32


def test_pixel_norm_of_known_values():
    x = pixel_norm(torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(x, torch.tensor([[3.0, 4.0]]) / math.sqrt(12.5))


@pytest.mark.parametrize("conv", [DemodulatedConv2d(2, 3, 3, 2), DemodulatedUpConv2d(2, 3, 2)])
def test_styled_layer_gradients_to_second_order(conv):
    layer = StyledLayer(conv).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    style = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, s: layer(x, s, None), (x, style))
    assert torch.autograd.gradgradcheck(lambda x, s: layer(x, s, None), (x, style))


@pytest.mark.parametrize("kind", LAYERS)
def test_bfloat16_channels_last_stays_close(kind):
    layer, x, style = LAYERS[kind](), torch.randn(3, 6, 8, 8), torch.randn(3, 7)
    full = layer(x, style)
    layer = layer.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x.to(memory_format=torch.channels_last), style)
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).abs().max() < 0.05 * full.abs().max()
