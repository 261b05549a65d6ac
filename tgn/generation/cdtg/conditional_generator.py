"""Fusion and generator as one network: from tail features, noise and a ratio to images."""

from typing import NamedTuple

from torch import Tensor, nn

from tgn.generation.cdtg.fusion import Fusion
from tgn.generation.cdtg.generator import StyleGenerator
from tgn.generation.cdtg.presets import Architecture, build_fusion, build_generator
from tgn.generation.feature_noise import VARIATIONS, FeatureNoise


class GeneratorOutput(NamedTuple):
    """Images of a batch and the mapped latents that styled them."""

    images: Tensor  # about [-1, 1], [B, bands, H, W]
    styles: Tensor  # w, [B, style_dim]


class ConditionalGenerator(nn.Module):
    """Everything of CDTG that is trained, averaged, saved and loaded for sampling.

    Args:
        architecture: the numbers of a preset.
        num_classes: C.
        feature_channels: D of the tail net's features.
    """

    def __init__(self, architecture: Architecture, num_classes: int, feature_channels: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.generator: StyleGenerator = build_generator(architecture, num_classes)
        self.fusion: Fusion = build_fusion(architecture, feature_channels)
        self.feature_noise = (
            FeatureNoise(num_classes, feature_channels, architecture.grid_size)
            if architecture.grid_channels
            else None
        )
        weights = VARIATIONS if architecture.grid_channels else 0
        self._noise_sizes = [architecture.style_dim, weights, self.generator.noise_dim]

    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Set the statistics of real features; call once, before training.

        Args:
            features: of real images in random order, [N, D, h, w].
            labels: their classes, [N].
        """
        self.fusion.standardise(features)
        if self.feature_noise is not None:
            self.feature_noise.fit(features, labels)

    @property
    def num_classes(self) -> int:
        """C."""
        return self.generator.num_classes

    @property
    def feature_channels(self) -> int:
        """D of the features it takes."""
        return self.fusion.feature_channels

    @property
    def noise_dim(self) -> int:
        """Standard normal numbers that one image is generated from."""
        return sum(self._noise_sizes)

    def forward(
        self, features: Tensor, labels: Tensor, noise: Tensor, ratio: Tensor
    ) -> GeneratorOutput:
        """Generate images.

        Args:
            features: tail features of the source images, [B, D, h, w].
            labels: class indices, [B].
            noise: standard normal, [B, noise_dim].
            ratio: r, [B] in [0, 1]: 0 reproduces the source, 1 ignores it.

        Returns:
            images_pm1 [B, bands, H, W], about [-1, 1] but unbounded, and styles [B, style_dim].
        """
        z, weights, layers = noise.split(self._noise_sizes, dim=1)
        grid = None
        if self.feature_noise is not None:
            grid = self.fusion.fused_grid(self.feature_noise(weights, labels))
        z, mixed = self.fusion(features, z, grid, ratio)  # [B, style_dim], [B, G, g, g] or None
        styles = self.generator.mapping(z, labels)  # [B, style_dim]
        maps = self.generator.split_noise(layers)
        return GeneratorOutput(self.generator.synthesis(styles, maps, mixed), styles)
