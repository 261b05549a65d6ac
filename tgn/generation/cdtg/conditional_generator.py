"""Fusion and generator as one network: from sources, noise and a ratio to images."""

from typing import NamedTuple

from torch import Tensor, nn

from tgn.generation.cdtg.architecture import Architecture, build_generator
from tgn.generation.cdtg.fusion import Fusion
from tgn.generation.cdtg.generator import StyleGenerator
from tgn.generation.cdtg.recombination import NOISE_DIM, Recombination
from tgn.generation.cdtg.wavelets import haar
from tgn.generation.latents.autoencoder import Autoencoder, unit_moment


class Source(NamedTuple):
    """Real images that others are generated from."""

    features: Tensor  # of the tail net, [B, D, h, w]
    latents: Tensor | None  # of the autoencoder, [B, C, 16, 16]; None for a generator of pixels

    def part(self, rows: slice) -> "Source":
        """Return the view of some of the images."""
        latents = None if self.latents is None else self.latents[rows]
        return Source(self.features[rows], latents)


class Codes(NamedTuple):
    """What the generator made of a batch, before it is decoded."""

    codes: Tensor  # latents, [B, C, 16, 16], or pixels, [B, bands, H, W]
    styles: Tensor  # w, [B, style_dim]
    given: Tensor | None  # recombined latents that they were made from


class ConditionalGenerator(nn.Module):
    """Everything of CDTG that is needed for sampling; the autoencoder alone is not trained.

    Args:
        architecture: its numbers.
        num_classes: C.
        feature_channels: D of the tail net's features.
        autoencoder: of the latents it draws; without, one whose weights are loaded later.
    """

    def __init__(
        self,
        architecture: Architecture,
        num_classes: int,
        feature_channels: int,
        autoencoder: Autoencoder | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.generator: StyleGenerator = build_generator(architecture, num_classes)
        self.fusion = Fusion(feature_channels, architecture.style_dim)
        self.autoencoder: Autoencoder | None = None
        self.recombination: Recombination | None = None
        sizes = [architecture.style_dim, self.generator.noise_dim]
        if architecture.in_latents:
            self.autoencoder = autoencoder or Autoencoder(architecture.latents)
            self.autoencoder.requires_grad_(False)
            self.recombination = Recombination(num_classes, architecture.latents.channels)
            sizes += [NOISE_DIM]
        self._noise_sizes = sizes

    def fit(self, features: Tensor, labels: Tensor, latents: Tensor | None) -> None:
        """Set the statistics of real images; call once, before training.

        Args:
            features: of real images in random order, [N, D, h, w].
            labels: their classes, [N].
            latents: of the same images, [N, C, 16, 16]; None for a generator of pixels.
        """
        self.fusion.standardise(features)
        if self.recombination is not None and latents is not None:
            self.recombination.fit(latents, labels)

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

    def encode(self, images_pm1: Tensor) -> Tensor | None:
        """Return the latents of images [B, bands, S, S]; None for a generator of pixels."""
        return None if self.autoencoder is None else self.autoencoder.encode(images_pm1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return images_pm1 [B, bands, S, S], about [-1, 1] but unbounded."""
        return codes if self.autoencoder is None else self.autoencoder.decode(codes)

    def forward(self, source: Source, labels: Tensor, noise: Tensor, ratio: Tensor) -> Tensor:
        """Generate images_pm1 [B, bands, S, S]; for the arguments see `codes`."""
        return self.decode(self.codes(source, labels, noise, ratio).codes)

    def codes(self, source: Source, labels: Tensor, noise: Tensor, ratio: Tensor) -> Codes:
        """Generate what decodes to images.

        Args:
            source: real images of the classes.
            labels: class indices, [B].
            noise: standard normal, [B, noise_dim].
            ratio: r, [B] in [0, 1]: 0 reproduces the source, 1 ignores it.
        """
        z, layers, *rest = noise.split(self._noise_sizes, dim=1)
        z = self.fusion(source.features, z, ratio)  # [B, style_dim]
        styles = self.generator.mapping(z, labels)  # [B, style_dim]
        maps = self.generator.split_noise(layers)
        if self.recombination is None or source.latents is None:
            return Codes(self.generator.synthesis(styles, maps), styles, None)
        given = self.recombination(source.latents, labels, rest[0], ratio)
        bands = haar(self.generator.synthesis(styles, maps, given))
        return Codes(unit_moment(given + bands), styles, given)
