"""The [1, 3, 3, 1] low-pass filter of upsampling, with a backward pass of its own.

Autograd's backward pass of a depthwise convolution leaves the channels-last layout, which takes
most of a training step on CPUs. The adjoint of this linear map is again a filter, and is written as
one here, to any order of derivative.
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


def _of_all_channels(kernel: Tensor, x: Tensor) -> Tensor:
    return kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape)


class SmoothAfterUpsampling(nn.Module):
    """Low-pass filter after a transposed convolution of stride 2, with gain 4."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor(TAPS)
        self.register_buffer("kernel", torch.outer(taps, taps) * 4.0, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, 2H+1, 2W+1] to [B, C, 2H, 2W]."""
        return _Smooth.apply(x, self.kernel, 1)


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
