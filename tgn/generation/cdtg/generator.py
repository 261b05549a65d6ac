"""The CDTG generator: StyleGAN2 synthesis in wavelet space, conditioned on class and grid."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.generation.cdtg.layers import (
    DemodulatedConv2d,
    DemodulatedUpConv2d,
    EqualizedConv2d,
    EqualizedLinear,
    ModulatedConv2d,
    StyledLayer,
    pixel_norm,
    scaled_leaky_relu,
)
from tgn.generation.cdtg.resampling import upsample
from tgn.generation.cdtg.wavelets import haar, inverse_haar

MAPPING_LR_MULTIPLIER = 0.01
START_RESOLUTION = 4
FIRST_BAND_STD = 0.05


def feature_resolutions(size: int, channels: Mapping[int, int]) -> list[int]:
    """Return the feature resolutions of a wavelet-space network: 4, 8, ..., size / 2.

    Args:
        size: image height and width, a power of two >= 16.
        channels: resolution -> width; must have every resolution.

    Raises:
        ValueError: for another size, or a resolution without a width.
    """
    if size < 16 or size & (size - 1):
        raise ValueError(f"image size must be a power of two >= 16, got {size}")
    resolutions = [2**k for k in range(2, size.bit_length() - 1)]
    missing = [resolution for resolution in resolutions if resolution not in channels]
    if missing:
        raise ValueError(f"size {size} needs channels at {resolutions}, missing {missing}")
    return resolutions


class ToBands(nn.Module):
    """Output layer: features to wavelet bands by a modulated 1x1 convolution, not demodulated.

    Args:
        in_channels: C.
        style_dim: D.
        image_channels: of the image; the bands have four times as many.
    """

    def __init__(self, in_channels: int, style_dim: int, image_channels: int) -> None:
        super().__init__()
        num_bands = 4 * image_channels
        self.conv = ModulatedConv2d(in_channels, num_bands, 1, style_dim)
        self.bias = nn.Parameter(torch.zeros(num_bands))
        # Unit weights would start as a strong checkerboard that takes hundreds of steps to unlearn.
        nn.init.normal_(self.conv.weight, std=FIRST_BAND_STD)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map [B, C, H, W] and [B, D] to bands [B, 4 image_channels, H, W], full precision."""
        return self.conv(x, style).to(self.bias.dtype) + self.bias[:, None, None]


class SynthesisBlock(nn.Module):
    """One resolution: doubling layer, same-size layer, and the bands added to the skip.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        style_dim: D.
        image_channels: of the image.
    """

    def __init__(
        self, in_channels: int, out_channels: int, style_dim: int, image_channels: int
    ) -> None:
        super().__init__()
        self.up = StyledLayer(DemodulatedUpConv2d(in_channels, out_channels, style_dim))
        self.same = StyledLayer(DemodulatedConv2d(out_channels, out_channels, 3, style_dim))
        self.to_bands = ToBands(out_channels, style_dim, image_channels)

    def forward(
        self,
        x: Tensor,
        bands: Tensor,
        w: Tensor,
        noises: Sequence[Tensor | None],
        injected: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Double the size of features and bands.

        Args:
            x: [B, C_in, H, W].
            bands: [B, 4 image_channels, H, W].
            w: style, [B, D].
            noises: two of [B, 1, 2H, 2W], or None.
            injected: [B, C_out, 2H, 2W], added after the doubling layer, or None.

        Returns:
            x [B, C_out, 2H, 2W] and bands [B, 4 image_channels, 2H, 2W].
        """
        x = self.up(x, w, noises[0])
        if injected is not None:
            x = x + injected.to(x.dtype)
        x = self.same(x, w, noises[1])
        # Adding in wavelet space without this round trip gives checkerboards.
        bands = haar(upsample(inverse_haar(bands)))
        return x, bands + self.to_bands(x, w)


class StyleGenerator(nn.Module):
    """Generator of images from a latent, a class and, optionally, a spatial grid.

    Sources: StyleGAN2 (arXiv 1912.04958), SWAGAN (arXiv 2102.06108). Differs from the papers: a
    grid of the resolution of the bands may be given; 1x1 convolutions of it, averaged down, are
    added to the features of every resolution.

    Args:
        size: image height and width, a power of two >= 16.
        num_classes: C.
        style_dim: D, of z, class embedding and w.
        mapping_layers: depth of the mapping network.
        channels: resolution -> width, for 4, 8, ..., size / 2.
        image_channels: 3 for RGB.
        grid_channels: 0 for no grid.
    """

    def __init__(  # noqa: PLR0913 - each number is one axis of the architecture
        self,
        size: int,
        num_classes: int,
        style_dim: int,
        mapping_layers: int,
        channels: Mapping[int, int],
        image_channels: int = 3,
        grid_channels: int = 0,
    ) -> None:
        super().__init__()
        self.resolutions = feature_resolutions(size, channels)
        self.size, self.num_classes, self.style_dim = size, num_classes, style_dim
        self.image_channels = image_channels
        self.grid_channels, self.grid_size = grid_channels, size // 2
        widths = [channels[resolution] for resolution in self.resolutions]
        self.label_embedding = nn.Embedding(num_classes, style_dim)
        self.mapping_network = nn.ModuleList(
            EqualizedLinear(style_dim, style_dim, lr_multiplier=MAPPING_LR_MULTIPLIER)
            for _ in range(mapping_layers)
        )
        self.constant = nn.Parameter(torch.randn(1, widths[0], START_RESOLUTION, START_RESOLUTION))
        self.grid_inputs = nn.ModuleDict(
            {
                str(resolution): EqualizedConv2d(grid_channels, channels[resolution], 1, bias=False)
                for resolution in self.resolutions
                if grid_channels
            }
        )
        self.first = StyledLayer(DemodulatedConv2d(widths[0], widths[0], 3, style_dim))
        self.first_bands = ToBands(widths[0], style_dim, image_channels)
        self.blocks = nn.ModuleList(
            SynthesisBlock(width_in, width_out, style_dim, image_channels)
            for width_in, width_out in zip(widths[:-1], widths[1:], strict=True)
        )

    def start_without_output(self) -> None:
        """Set the weights of all bands to 0: images are 0 until they are trained."""
        for layer in self.modules():
            if isinstance(layer, ToBands):
                nn.init.zeros_(layer.conv.weight)

    @property
    def noise_sizes(self) -> list[int]:
        """Side of each layer's noise map: 4, 8, 8, 16, 16, ..."""
        return [START_RESOLUTION, *(r for r in self.resolutions[1:] for _ in range(2))]

    @property
    def noise_dim(self) -> int:
        """Length of one image's flat noise."""
        return sum(side**2 for side in self.noise_sizes)

    def split_noise(self, flat: Tensor) -> list[Tensor]:
        """Cut flat noise into the layers' maps.

        Args:
            flat: [B, noise_dim], standard normal.

        Returns:
            One [B, 1, h, h] for each of `noise_sizes`.

        Raises:
            ValueError: for another shape.
        """
        if flat.ndim != 2 or flat.shape[1] != self.noise_dim:
            raise ValueError(f"flat noise must be [B, {self.noise_dim}], got {[*flat.shape]}")
        pieces = flat.split([side**2 for side in self.noise_sizes], dim=1)
        return [
            piece.reshape(-1, 1, side, side)
            for piece, side in zip(pieces, self.noise_sizes, strict=True)
        ]

    def mapping(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return the style of a latent and a class.

        Args:
            z: [B, D], standard normal or fused.
            labels: [B], int64 in [0, C).

        Returns:
            w, [B, D].
        """
        w = pixel_norm(z + self.label_embedding(labels))
        for layer in self.mapping_network:
            w = scaled_leaky_relu(layer(w))
        return w

    def synthesis(
        self, w: Tensor, noise: Sequence[Tensor] | None = None, grid: Tensor | None = None
    ) -> Tensor:
        """Return the image of a style.

        Args:
            w: [B, D].
            noise: maps as from `split_noise`; None injects none.
            grid: [B, grid_channels, size / 2, size / 2]; needed exactly if there is a grid input.

        Returns:
            images_pm1, [B, image_channels, size, size], about [-1, 1] but unbounded.

        Raises:
            ValueError: for wrong shapes, or a grid where none belongs.
        """
        if w.ndim != 2 or w.shape[1] != self.style_dim:
            raise ValueError(f"w must be [B, {self.style_dim}], got {[*w.shape]}")
        noises = self._noises(noise)
        grids = self._grids(grid, batch=w.shape[0])
        start = self.constant.expand(w.shape[0], -1, -1, -1)
        x = start if grids[0] is None else start + grids[0]
        x = self.first(x, w, noises[0])
        bands = self.first_bands(x, w)
        for index, (block, injected) in enumerate(zip(self.blocks, grids[1:], strict=True)):
            layer = 2 * index + 1
            x, bands = block(x, bands, w, noises[layer : layer + 2], injected)
        return inverse_haar(bands)

    def forward(
        self,
        z: Tensor,
        labels: Tensor,
        noise: Sequence[Tensor] | None = None,
        grid: Tensor | None = None,
    ) -> Tensor:
        """Map latent [B, D], labels [B], noise and grid [B, G, g, g] to images_pm1 [B, 3, S, S]."""
        return self.synthesis(self.mapping(z, labels), noise, grid)

    def _noises(self, noise: Sequence[Tensor] | None) -> Sequence[Tensor | None]:
        if noise is None:
            return [None] * len(self.noise_sizes)
        sides = [map_.shape[-1] for map_ in noise]
        if sides != self.noise_sizes:
            raise ValueError(f"noise maps must have sides {self.noise_sizes}, got {sides}")
        return noise

    def _grids(self, grid: Tensor | None, batch: int) -> list[Tensor | None]:
        """Return the grid, projected for every resolution that takes it."""
        if not self.grid_channels:
            if grid is not None:
                raise ValueError("this generator has no grid input: pass grid=None")
            return [None] * len(self.resolutions)
        expected = (batch, self.grid_channels, self.grid_size, self.grid_size)
        if grid is None or grid.shape != expected:
            got = None if grid is None else [*grid.shape]
            raise ValueError(f"grid must be {[*expected]}, got {got}")
        return [
            self.grid_inputs[str(resolution)](F.adaptive_avg_pool2d(grid, resolution))
            for resolution in self.resolutions
        ]
