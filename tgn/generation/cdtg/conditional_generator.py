"""Fusion and generator as one network: from tail features, noise and a ratio to images."""

from typing import NamedTuple

from torch import Tensor, nn

from tgn.generation.cdtg.fusion import Fusion
from tgn.generation.cdtg.generator import Generator
from tgn.generation.cdtg.presets import Architecture, build_fusion, build_generator
from tgn.generation.feature_noise import VARIATIONS, FeatureNoise


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
        self.feature_noise = (
            FeatureNoise(num_classes, feature_channels, architecture.grid_size)
            if architecture.grid_channels
            else None
        )
        weights = VARIATIONS if architecture.grid_channels else 0
        self._cuts = [architecture.style_dim, weights, self.generator.noise_dim]

    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Take the measure of real features [N, D, h, w] of classes [N]; once, before training."""
        self.fusion.standardise(features)
        if self.feature_noise is not None:
            self.feature_noise.fit(features, labels)

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
        z, weights, layers = noise.split(self._cuts, dim=1)
        grid = None
        if self.feature_noise is not None:
            grid = self.fusion.fused_grid(self.feature_noise(weights, labels))
        z, mixed = self.fusion(features, z, grid, ratio)  # [B, style_dim], [B, G, g, g] or None
        styles = self.generator.mapping(z, labels)  # [B, style_dim]
        maps = self.generator.split_noise(layers)
        return Painted(self.generator.synthesis(styles, maps, mixed), styles)
