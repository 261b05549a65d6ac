"""Fusion and generator as one network: from tail features, noise and a ratio to images."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from tgn.cdtg.fusion import Fusion
from tgn.cdtg.generator import Generator
from tgn.cdtg.presets import Architecture, build_fusion, build_generator

COARSE_NOISE = 4  # side of the grid's noise before it is spread over the grid
SMOOTH_NOISE_GAIN = 1.2  # interpolation averages: this brings the variance back to about 1


class Painted(NamedTuple):
    """Images of a batch and the mapped latents that styled them."""

    images: Tensor  # about [-1, 1], [B, bands, H, W]
    styles: Tensor  # w, [B, style_dim]


class Painter(nn.Module):
    """Everything of CDTG that has to be trained, averaged, saved and loaded for drawing.

    Args:
        architecture: the numbers of a preset.
        num_classes: C.
        feature_channels: D of the tail net's features.
    """

    def __init__(self, architecture: Architecture, num_classes: int, feature_channels: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.generator: Generator = build_generator(architecture, num_classes)
        self.fusion: Fusion = build_fusion(architecture, feature_channels)
        coarse = architecture.grid_channels * COARSE_NOISE**2
        self._cuts = [architecture.style_dim, coarse, self.generator.noise_dim]

    @property
    def noise_dim(self) -> int:
        """Standard normal numbers that one image is made from."""
        return sum(self._cuts)

    def forward(self, features: Tensor, labels: Tensor, noise: Tensor, ratio: Tensor) -> Painted:
        """Draw images.

        Args:
            features: tail features of the source images, [B, D, h, w].
            labels: class indices, [B].
            noise: standard normal, [B, noise_dim].
            ratio: r, [B] in [0, 1]: 0 redraws the source, 1 forgets it.
        """
        z, grid, layers = noise.split(self._cuts, dim=1)
        grid = self._smooth(grid)
        z, mixed = self.fusion(features, z, grid, ratio)  # [B, style_dim], [B, G, g, g] or None
        styles = self.generator.mapping(z, labels)  # [B, style_dim]
        maps = self.generator.split_noise(layers)
        return Painted(self.generator.synthesis(styles, maps, mixed), styles)

    def _smooth(self, flat: Tensor) -> Tensor:
        """Spread coarse noise over the grid: neighbours agree, as they do in features."""
        coarse = flat.unflatten(1, (self.architecture.grid_channels, COARSE_NOISE, COARSE_NOISE))
        side = self.architecture.grid_size
        smooth = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
        return smooth * SMOOTH_NOISE_GAIN
