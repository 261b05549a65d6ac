"""The CDTG discriminator: wavelet bands in, projection on the class."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tgn.generation.cdtg.generator import feature_resolutions
from tgn.generation.cdtg.layers import (
    ActivatedConv2d,
    EqualizedConv2d,
    EqualizedLinear,
    at_least_float32,
    scaled_leaky_relu,
)
from tgn.generation.cdtg.resampling import Downsample
from tgn.generation.cdtg.wavelets import haar, inverse_haar

_SMALLEST_GROUP = 4
_EPSILON = 1e-8


def minibatch_deviation(x: Tensor) -> Tensor:
    """Append one channel with the standard deviation over the samples of a group.

    Source: arXiv 1710.10196, section 3, with groups. Differs from the paper: a group is images in
    a row, as many as the smallest divisor of the batch that is at least 4, so that any batch size
    works and a batch may be dealt out to several processes.

    Args:
        x: [B, C, H, W].

    Returns:
        [B, C + 1, H, W].
    """
    batch, _, height, width = x.shape
    group = next(n for n in range(min(_SMALLEST_GROUP, batch), batch + 1) if batch % n == 0)
    grouped = at_least_float32(x).unflatten(0, (batch // group, group))
    centred = grouped - grouped.mean(dim=1, keepdim=True)
    variance = centred.square().mean(dim=1)  # var() is 20 times slower
    deviation = (variance + _EPSILON).sqrt().mean(dim=(1, 2, 3)).repeat_interleave(group)
    plane = deviation[:, None, None, None].expand(batch, 1, height, width)
    return torch.cat((x, plane.to(x.dtype)), dim=1)


class ResidualBlock(nn.Module):
    """Residual block that halves the size: two convolutions and a linear shortcut, over sqrt 2.

    Differs from StyleGAN2: the blur already drops every second pixel and the second convolution
    runs at the lower resolution, which costs a quarter of the blur.

    Args:
        in_channels: C_in.
        out_channels: C_out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.same = ActivatedConv2d(in_channels, in_channels, 3)
        self.down = ActivatedConv2d(in_channels, out_channels, 3)
        self.shortcut = EqualizedConv2d(in_channels, out_channels, 1, bias=False)
        self.downsample = Downsample()

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C_in, H, W] to [B, C_out, H/2, W/2]."""
        residual = self.down(self.downsample(self.same(x)))
        return (residual + self.shortcut(self.downsample(x))) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Discriminator of real and generated images, given the class.

    Sources: SWAGAN (arXiv 2102.06108), residual blocks of StyleGAN2 (arXiv 1912.04958),
    projection (arXiv 1802.05637): logit = linear(h) + <embed(label), h> / sqrt(dim h).

    Args:
        size: image height and width, a power of two >= 16.
        num_classes: C.
        channels: resolution -> width, for 4, 8, ..., size / 2.
        image_channels: 3 for RGB.
    """

    def __init__(
        self,
        size: int,
        num_classes: int,
        channels: Mapping[int, int],
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        widths = [channels[resolution] for resolution in feature_resolutions(size, channels)][::-1]
        self.image_shape = (image_channels, size, size)
        self.from_bands = nn.ModuleList(
            ActivatedConv2d(4 * image_channels, width, 1) for width in widths
        )
        self.blocks = nn.ModuleList(
            ResidualBlock(width_in, width_out)
            for width_in, width_out in zip(widths[:-1], widths[1:], strict=True)
        )
        self.downsample = Downsample()
        last = widths[-1]
        self.last_conv = ActivatedConv2d(last + 1, last, 3)
        self.last_linear = EqualizedLinear(last * 4 * 4, last)
        self.to_logit = EqualizedLinear(last, 1)
        self.label_embedding = nn.Embedding(num_classes, last)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the logits of a batch.

        Args:
            images: images_pm1, [B, image_channels, size, size].
            labels: [B], int64 in [0, C).

        Returns:
            Logits, [B], full precision; larger is more real.

        Raises:
            ValueError: for images of another shape.
        """
        if images.shape[1:] != self.image_shape:
            raise ValueError(f"images must be [B, {self.image_shape}], got {[*images.shape]}")
        hidden = self._hidden(images)
        agreement = (self.label_embedding(labels) * hidden).sum(dim=1) / math.sqrt(hidden.shape[1])
        return self.to_logit(hidden).squeeze(1) + agreement

    def _hidden(self, images: Tensor) -> Tensor:
        """Map [B, image_channels, S, S] to h [B, D]."""
        bands = haar(images)
        x = self.from_bands[0](bands)
        for block, from_bands in zip(self.blocks, self.from_bands[1:], strict=True):
            bands = haar(self.downsample(inverse_haar(bands)))
            x = block(x) + from_bands(bands)
        x = self.last_conv(minibatch_deviation(x))
        return scaled_leaky_relu(self.last_linear(x.flatten(1)))
