"""The [1, 3, 3, 1] low-pass filter of up- and downsampling, with backward passes of its own.

Autograd's backward passes of depthwise convolutions and of slices take most of a training step on
CPUs: they leave the channels-last layout and fill tensors with zeros. The adjoint of each of these
linear maps is again a filter, and is written as one here, to any order of derivative.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

TAPS = (0.125, 0.375, 0.375, 0.125)


class _Smooth(Function):
    """Filter every pixel; the adjoint is the same filter with the rest of the padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.padding = padding
        return F.conv2d(x, _of_all_channels(kernel, x), padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Smooth.apply(gradient, *ctx.saved_tensors, 3 - ctx.padding), None, None


class _Halve(Function):
    """Filter every second pixel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(kernel)
        weight = _of_all_channels(kernel, x)
        return F.conv2d(x, weight, padding=1, stride=2, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Double.apply(gradient, *ctx.saved_tensors), None


class _Double(Function):
    """Apply the adjoint of `_Halve`: zeros between the pixels, then the filter; phase by phase."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(kernel)
        batch, channels, height, width = x.shape
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if is_last else torch.contiguous_format
        shape = (batch, channels, 2 * height, 2 * width)
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
        for row in (0, 1):  # of the two by two pixels that come of one
            for column in (0, 1):
                taps = kernel[1 - row :: 2, 1 - column :: 2].flip(0, 1)
                phase = F.conv2d(x, _of_all_channels(taps, x), padding=1, groups=channels)
                rows, columns = slice(row, row + height), slice(column, column + width)
                out[:, :, row::2, column::2] = phase[:, :, rows, columns]
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Halve.apply(gradient, *ctx.saved_tensors), None


def _of_all_channels(kernel: Tensor, x: Tensor) -> Tensor:
    return kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape)


class _Lowpass(nn.Module):
    """Base of the modules that apply the separable filter with a gain."""

    kernel: Tensor

    def __init__(self, gain: float) -> None:
        super().__init__()
        taps = torch.tensor(TAPS)
        self.register_buffer("kernel", torch.outer(taps, taps) * gain, persistent=False)


class SmoothAfterUpsampling(_Lowpass):
    """Low-pass filter after a transposed convolution of stride 2, with gain 4."""

    def __init__(self) -> None:
        super().__init__(gain=4.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, 2H+1, 2W+1] to [B, C, 2H, 2W]."""
        return _Smooth.apply(x, self.kernel, 1)


class Downsample(_Lowpass):
    """Downsampling by 2: low-pass filter, then every second pixel, zero borders."""

    def __init__(self) -> None:
        super().__init__(gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W], H and W even, to [B, C, H/2, W/2]."""
        return _Halve.apply(x, self.kernel)


def upsample(x: Tensor) -> Tensor:
    """Double the size: zeros between the pixels, then the low-pass filter, zero borders.

    Written as the two weighted sums per axis that this amounts to: they keep the precision of x
    under autocast and are faster than a convolution for the few channels of an image.

    Args:
        x: [B, C, H, W].

    Returns:
        [B, C, 2H, 2W].
    """
    for axis, padding in ((2, (0, 0, 1, 1)), (3, (1, 1, 0, 0))):
        padded, near = F.pad(x, padding), x * 0.75
        before = padded.narrow(axis, 0, x.shape[axis])
        after = padded.narrow(axis, 2, x.shape[axis])
        pairs = torch.stack((near + before * 0.25, near + after * 0.25), dim=axis + 1)
        x = pairs.flatten(axis, axis + 1)
    return x
