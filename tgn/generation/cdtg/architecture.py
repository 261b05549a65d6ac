"""The numbers that shape the generator, and the network built from them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tgn.generation.cdtg.generator import StyleGenerator
from tgn.generation.latents.autoencoder import SIDE, AutoencoderFacts

MAPPING_LAYERS = 2


class Architecture(BaseModel):
    """Every number that shapes the generator; stored beside its weights.

    A generator of latents works on the latents as if they were the four Haar bands of an image of
    twice their side; one of pixels draws the image itself, as the published one does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=16, description="image height and width, a power of two")]
    bands: Annotated[int, Field(ge=1, description="of an image")]
    in_latents: Annotated[bool, Field(description="draws latents of the autoencoder, not pixels")]
    style_dim: Annotated[int, Field(ge=1, description="length of z and w")]
    mapping_layers: Annotated[int, Field(ge=1, description="depth of the mapping network")]
    channels: dict[int, int] = Field(description="resolution -> width")

    @property
    def latents(self) -> AutoencoderFacts:
        """Of the autoencoder."""
        return AutoencoderFacts(self.size, self.bands)


def latent_architecture(size: int, bands: int, width: int) -> Architecture:
    """Return the numbers of a generator of latents.

    Args:
        size: of images in pixels; it changes the channels of latents alone.
        bands: of an image.
        width: channels at 16 x 16; coarser resolutions and styles have twice as many.
    """
    return Architecture(
        size=size,
        bands=bands,
        in_latents=True,
        style_dim=2 * width,
        mapping_layers=MAPPING_LAYERS,
        channels={4: 2 * width, 8: 2 * width, SIDE: width},
    )


def build_generator(arch: Architecture, num_classes: int) -> StyleGenerator:
    """Build a generator with random weights."""
    latents = arch.latents.channels if arch.in_latents else 0
    return StyleGenerator(
        size=2 * SIDE if latents else arch.size,
        num_classes=num_classes,
        style_dim=arch.style_dim,
        mapping_layers=arch.mapping_layers,
        channels=arch.channels,
        image_channels=latents // 4 if latents else arch.bands,
        grid_channels=latents,
    )
