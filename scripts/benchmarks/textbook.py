"""The generator computed as its papers write it: plain, and slow.

Benchmarks time ours against it; tests/generation/cdtg/test_fast_paths.py holds ours equal to it.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.generation.cdtg import conditional_generator, generator, layers
from tgn.runtime import devices

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
HAAR = (
    torch.tensor([[[1, 1], [1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]]) / 2
)


def modulated(
    layer: layers.ModulatedConv2d, x: Tensor, style: Tensor, bias: Tensor | None = None
) -> Tensor:
    """One scaled weight a sample, one group a sample (StyleGAN2, equations 1 and 3)."""
    batch, channels, height, width = x.shape
    scales = layer.modulation(style) * layer.weight_scale
    weight = layer.weight[None] * scales[:, None, :, None, None]  # [B, C_out, C_in, k, k]
    if isinstance(layer, layers.DemodulatedConv2d):
        norm = torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        weight = weight * norm * math.sqrt(2)
    grouped = x.reshape(1, batch * channels, height, width)
    if isinstance(layer, layers.DemodulatedUpConv2d):
        weight = weight.transpose(1, 2).flatten(0, 1)
        out = filtered(F.conv_transpose2d(grouped, weight, stride=2, groups=batch), gain=4)
    else:
        padding = layer.weight.shape[-1] // 2
        out = F.conv2d(grouped, weight.flatten(0, 1), padding=padding, groups=batch)
    out = out.reshape(batch, -1, *out.shape[2:])
    return out if bias is None else out + bias[:, None, None]


def filtered(x: Tensor, gain: float, padding: int = 1) -> Tensor:
    """The [1, 3, 3, 1] filter as one 4x4 convolution of each channel."""
    kernel = (torch.outer(TAPS, TAPS) * gain).to(x).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """Zeros between the pixels, then the filter."""
    batch, channels, height, width = x.shape
    spread = x.new_zeros(batch, channels, height, 2, width, 2)
    spread[:, :, :, 0, :, 0] = x
    return filtered(
        F.pad(spread.reshape(batch, channels, 2 * height, 2 * width), (2, 1, 2, 1)), 4, 0
    )


def haar(images: Tensor) -> Tensor:
    """Four convolutions with stride 2."""
    kernels = [kernel.to(images).expand(images.shape[1], 1, 2, 2) for kernel in HAAR]
    return torch.cat([F.conv2d(images, k, stride=2, groups=images.shape[1]) for k in kernels], 1)


def inverse_haar(bands: Tensor) -> Tensor:
    """The sum of four transposed convolutions with stride 2."""
    pieces = bands.chunk(4, dim=1)
    kernels = [kernel.to(bands).expand(pieces[0].shape[1], 1, 2, 2) for kernel in HAAR]
    grown = [
        F.conv_transpose2d(piece, kernel, stride=2, groups=piece.shape[1])
        for piece, kernel in zip(pieces, kernels, strict=True)
    ]
    return torch.stack(grown).sum(0)


@contextmanager
def textbook() -> Iterator[None]:
    """Within the block, our generators compute this way."""
    places: list[tuple[Any, str, Any]] = [
        (layers.ModulatedConv2d, "forward", modulated),
        (layers.DemodulatedConv2d, "forward", modulated),
        (generator, "upsample", upsample),
        (generator, "haar", haar),
        (generator, "inverse_haar", inverse_haar),
        (conditional_generator, "haar", haar),
        (conditional_generator, "upsample", upsample),
        (devices, "keep_freed_memory", lambda: None),
    ]
    with ExitStack() as patches:
        for owner, name, plain in places:
            patches.enter_context(mock.patch.object(owner, name, plain))
        yield
