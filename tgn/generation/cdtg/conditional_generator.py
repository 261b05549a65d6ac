"""Fusion, recombination and generator as one network: from sources, noise and r to images."""

from typing import NamedTuple

from torch import Tensor, nn

from tgn.generation.cdtg.architecture import Architecture, build_generator
from tgn.generation.cdtg.fusion import Fusion
from tgn.generation.cdtg.generator import StyleGenerator
from tgn.generation.cdtg.recombination import NOISE_DIM, Recombination
from tgn.generation.cdtg.resampling import upsample
from tgn.generation.cdtg.wavelets import haar


class Source(NamedTuple):
    """Real images that others are generated from."""

    features: Tensor  # of the tail net, [B, D, h, w]
    images: Tensor  # images_pm1, [B, bands, S, S]


class GeneratorOutput(NamedTuple):
    """Images of a batch and what they were made from."""

    images: Tensor  # about [-1, 1], [B, bands, S, S]
    styles: Tensor  # w, [B, style_dim]
    given: Tensor | None  # recombined real images, [B, bands, S, S]


class ConditionalGenerator(nn.Module):
    """Everything of CDTG that is trained, averaged, saved and loaded for sampling.

    Args:
        architecture: its numbers.
        num_classes: C.
        feature_channels: D of the tail net's features.
    """

    def __init__(self, architecture: Architecture, num_classes: int, feature_channels: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.generator: StyleGenerator = build_generator(architecture, num_classes)
        self.fusion = Fusion(feature_channels, architecture.style_dim)
        self.recombination = (
            Recombination(num_classes, architecture.bands, architecture.size)
            if architecture.recombines
            else None
        )
        if architecture.recombines:
            self.generator.start_without_output()
        own = NOISE_DIM if architecture.recombines else 0
        self._noise_sizes = [architecture.style_dim, self.generator.noise_dim, own]

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
        self, source: Source, labels: Tensor, noise: Tensor, ratio: Tensor
    ) -> GeneratorOutput:
        """Generate images.

        Args:
            source: real images of the classes.
            labels: class indices, [B].
            noise: standard normal, [B, noise_dim].
            ratio: r, [B] in [0, 1]: 0 reproduces the source, 1 ignores it.
        """
        z, layers, rest = noise.split(self._noise_sizes, dim=1)
        z = self.fusion(source.features, z, ratio)  # [B, style_dim]
        styles = self.generator.mapping(z, labels)  # [B, style_dim]
        maps = self.generator.split_noise(layers)
        if self.recombination is None:
            return GeneratorOutput(self.generator.synthesis(styles, maps), styles, None)
        given = self.recombination(source.images, labels, rest, ratio)
        change = self.generator.synthesis(styles, maps, haar(haar(given)))
        # At half the resolution: finer patterns please frozen networks, and no other judge.
        return GeneratorOutput(given + upsample(change), styles, given)

    def files_within(self, labels: Tensor, noise: Tensor, ratio: Tensor) -> list[tuple[str, ...]]:
        """Return the files of real images mixed into each image; see `Recombination`."""
        if self.recombination is None:
            return [()] * len(labels)
        *_, rest = noise.split(self._noise_sizes, dim=1)
        return self.recombination.files_within(labels, rest, ratio)
