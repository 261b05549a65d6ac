"""The numbers that shape the generator, and the network built from them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tgn.generation.cdtg.generator import START_RESOLUTION, StyleGenerator
from tgn.runtime.bounds import Bands

MAPPING_LAYERS = 2
LEVELS = 2  # of the Haar transform between an image and the finest features
LARGEST_WIDTH = 8192

Channels = Annotated[int, Field(ge=1, le=LARGEST_WIDTH)]


class Architecture(BaseModel):
    """Every number that shapes the generator; stored beside its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=32, le=4096, description="height and width, a power of two")]
    bands: Annotated[Bands, Field(description="of an image")]
    recombines: Annotated[bool, Field(description="changes a recombined image, or draws from none")]
    style_dim: Annotated[int, Field(ge=1, le=LARGEST_WIDTH, description="length of z and w")]
    mapping_layers: Annotated[int, Field(ge=1, le=64, description="depth of the mapping network")]
    channels: dict[int, Channels] = Field(max_length=12, description="resolution -> width")


def recombining_architecture(size: int, bands: int, width: int) -> Architecture:
    """Return the numbers of a generator of the kind that is trained here.

    Args:
        size: of images in pixels, 32, 64, 128 or 256.
        bands: of an image.
        width: channels at 16 x 16; styles and coarser resolutions have twice as many, each finer
            one half of the one before.
    """
    channels, resolution = {}, START_RESOLUTION
    while resolution <= size >> LEVELS:
        channels[resolution] = min(2 * width, 16 * width // resolution)
        resolution *= 2
    return Architecture(
        size=size,
        bands=bands,
        recombines=True,
        style_dim=2 * width,
        mapping_layers=MAPPING_LAYERS,
        channels=channels,
    )


def build_generator(arch: Architecture, num_classes: int) -> StyleGenerator:
    """Build a generator with random weights."""
    return StyleGenerator(
        size=arch.size // 2 if arch.recombines else arch.size,
        num_classes=num_classes,
        style_dim=arch.style_dim,
        mapping_layers=arch.mapping_layers,
        channels=arch.channels,
        image_channels=arch.bands,
        grid_channels=4**LEVELS * arch.bands if arch.recombines else 0,
    )
