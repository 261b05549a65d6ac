"""Layers of a style-based GAN, written from the StyleGAN2 paper (arXiv 1912.04958)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.generation.cdtg.resampling import SmoothAfterUpsampling

# leaky_relu halves the second moment (almost); this gain restores it.
ACTIVATION_GAIN = math.sqrt(2)
ACTIVATION_SLOPE = 0.2
_EPSILON = 1e-8


def pixel_norm(x: Tensor) -> Tensor:
    """Scale each row to second moment 1 (arXiv 1710.10196, section 4.2).

    Args:
        x: [B, D].

    Returns:
        [B, D].
    """
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + _EPSILON)


def at_least_float32(x: Tensor) -> Tensor:
    """Convert half precision to float32, for statistics; keep float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def scaled_leaky_relu(x: Tensor) -> Tensor:
    """Apply a leaky ReLU with slope 0.2, times sqrt 2; any shape."""
    return F.leaky_relu(x * ACTIVATION_GAIN, ACTIVATION_SLOPE)


def scale_channels(x: Tensor, factors: Tensor) -> Tensor:
    """Multiply channels by per-sample factors, in the precision of x.

    Args:
        x: [B, C, H, W] (or [1, C, H, W]).
        factors: [B, C].

    Returns:
        [B, C, H, W].
    """
    return x * factors[:, :, None, None].to(x.dtype)


class EqualizedLinear(nn.Module):
    """A linear layer with equalised learning rate, always computed in full precision.

    Styles and logits are small and sensitive, so autocast does not apply here.
    Source: arXiv 1710.10196, section 4.1; the multiplier, arXiv 1812.04948, appendix C.

    Args:
        in_features: D_in.
        out_features: D_out.
        bias: first value of every bias; None for no bias.
        lr_multiplier: > 0; the layer learns this much slower with the same first output.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: float | None = 0.0,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = (
            None
            if bias is None
            else nn.Parameter(torch.full((out_features,), bias / lr_multiplier))
        )
        self.weight_scale = lr_multiplier / math.sqrt(in_features)
        self.bias_scale = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, D_in] to [B, D_out], float32 (or the weight's precision)."""
        bias = None if self.bias is None else self.bias * self.bias_scale
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(self.weight.dtype), self.weight * self.weight_scale, bias)


class EqualizedConv2d(nn.Module):
    """A same-size convolution with equalised learning rate (arXiv 1710.10196, section 4.1).

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: odd.
        bias: whether to add one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_scale = 1 / math.sqrt(in_channels * kernel_size**2)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C_out, H, W]."""
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight * self.weight_scale, self.bias, padding=padding)


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled by a style (StyleGAN2, section 2.2).

    Scaling the activations in place of the weights is the same sum, and lets one ordinary
    convolution serve the whole batch.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: odd.
        style_dim: D.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, style_dim: int
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.modulation = EqualizedLinear(style_dim, in_channels, bias=1.0)
        self.weight_scale = 1 / math.sqrt(in_channels * kernel_size**2)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map [B, C_in, H, W] and style [B, D] to [B, C_out, H', W']."""
        scales = self.modulation(style) * self.weight_scale
        return self.convolve(scale_channels(x, scales))

    def convolve(self, x: Tensor) -> Tensor:
        """Convolve with the shared weights: [B, C_in, H, W] to [B, C_out, H, W]."""
        return F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)


class DemodulatedConv2d(ModulatedConv2d):
    """A modulated convolution whose output is divided by the norm of its scaled weights.

    The norm is computed in float32. The output is also multiplied by sqrt 2, the gain of the
    activation that always follows: a leaky ReLU commutes with positive factors, so one
    multiplication does both.
    """

    def forward(self, x: Tensor, style: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map [B, C_in, H, W], style [B, D] and bias [C_out] to [B, C_out, H', W']."""
        scales = self.modulation(style) * self.weight_scale
        out = self.convolve(scale_channels(x, scales))
        factors = self._demodulation(scales) * ACTIVATION_GAIN
        if bias is None:
            return scale_channels(out, factors)
        factors = factors[:, :, None, None].to(out.dtype)
        return torch.addcmul(bias[:, None, None].to(out.dtype), out, factors)  # one pass, not two

    def _demodulation(self, scales: Tensor) -> Tensor:
        """Return 1 / norm of each output channel's scaled weights: [B, C_in] to [B, C_out]."""
        with torch.autocast(scales.device.type, enabled=False):
            energy = scales.square() @ self.weight.square().sum(dim=(2, 3)).T
            return torch.rsqrt(energy + _EPSILON)


class DemodulatedUpConv2d(DemodulatedConv2d):
    """A demodulated 3x3 convolution that doubles the size, then blurs."""

    def __init__(self, in_channels: int, out_channels: int, style_dim: int) -> None:
        super().__init__(in_channels, out_channels, 3, style_dim)
        self.blur = SmoothAfterUpsampling()

    def convolve(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C_out, 2H, 2W]."""
        return self.blur(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2))


class StyledLayer(nn.Module):
    """Demodulated convolution, noise of learned strength, bias and scaled leaky ReLU.

    Args:
        conv: the convolution, same size or doubling.
    """

    def __init__(self, conv: DemodulatedConv2d) -> None:
        super().__init__()
        self.conv = conv
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(conv.weight.shape[0]))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """Map [B, C_in, H, W], style [B, D], noise [B or 1, 1, H', W'] to [B, C_out, H', W']."""
        x = self.conv(x, style, self.bias * ACTIVATION_GAIN)
        if noise is not None:
            x += (noise * (self.noise_strength * ACTIVATION_GAIN)).to(x.dtype)
        return F.leaky_relu(x, ACTIVATION_SLOPE, inplace=True)
