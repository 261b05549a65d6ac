"""Presets of the GAN's architecture, and the networks built from them."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tgn.generation.cdtg.discriminator import Discriminator
from tgn.generation.cdtg.fusion import Fusion
from tgn.generation.cdtg.generator import StyleGenerator
from tgn.runtime.errors import UserError


class Architecture(BaseModel):
    """Every number that shapes the networks; stored beside their weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=16, description="image height and width, a power of two")]
    style_dim: Annotated[int, Field(ge=1, description="length of z and w")]
    mapping_layers: Annotated[int, Field(ge=1, description="depth of the mapping network")]
    generator_channels: dict[int, int] = Field(description="resolution -> width of the generator")
    discriminator_channels: dict[int, int] = Field(description="the same of the discriminator")
    grid_channels: Annotated[int, Field(ge=0, description="0: no spatial input")]
    grid_size: Annotated[int, Field(description="side of the spatial input, 4 or 8")]
    image_channels: Annotated[int, Field(ge=1, description="bands of an image")] = 3
    local_details: bool = Field(True, description="difference bands without their local mean")


# Width min(512, 32768 / resolution): StyleGAN2's large configuration, channel multiplier 2.
_PAPER_CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256}
_BASE_CHANNELS = {4: 256, 8: 256, 16: 256, 32: 128, 64: 64}

_PRESETS = {
    "paper": Architecture(
        size=256,
        style_dim=512,
        mapping_layers=8,
        generator_channels=_PAPER_CHANNELS,
        discriminator_channels=_PAPER_CHANNELS,
        grid_channels=0,
        grid_size=4,
        local_details=False,  # as published
    ),
    "base": Architecture(
        size=64,
        style_dim=256,
        mapping_layers=4,
        generator_channels=_BASE_CHANNELS,
        discriminator_channels=_BASE_CHANNELS,
        grid_channels=64,
        grid_size=8,
    ),
    "tiny": Architecture(
        size=32,
        style_dim=128,
        mapping_layers=2,
        generator_channels={4: 192, 8: 128, 16: 64, 32: 48},
        discriminator_channels={4: 128, 8: 128, 16: 64, 32: 48},
        grid_channels=32,
        grid_size=8,
    ),
}
PRESET_SIZES: Mapping[str, tuple[int, ...]] = {"paper": (256,), "base": (64, 128), "tiny": (32, 64)}


def architecture(preset: str, size: int | None = None, bands: int = 3) -> Architecture:
    """Return the numbers of a preset.

    Args:
        preset: "paper", "base" or "tiny".
        size: image side; None for the preset's first.
        bands: of an image.

    Raises:
        UserError: for an unknown preset, or a size that it does not have.
    """
    if preset not in _PRESETS:
        raise UserError(f"no preset {preset!r}, choose from {', '.join(_PRESETS)}")
    sizes = PRESET_SIZES[preset]
    if size is not None and size not in sizes:
        choices = "; ".join(f"{name}: {', '.join(map(str, s))}" for name, s in PRESET_SIZES.items())
        raise UserError(f"preset {preset} has no size {size}. Sizes: {choices}")
    return _PRESETS[preset].model_copy(update={"size": size or sizes[0], "image_channels": bands})


def build_generator(arch: Architecture, num_classes: int) -> StyleGenerator:
    """Build a generator with random weights."""
    return StyleGenerator(
        size=arch.size,
        num_classes=num_classes,
        style_dim=arch.style_dim,
        mapping_layers=arch.mapping_layers,
        channels=arch.generator_channels,
        image_channels=arch.image_channels,
        grid_channels=arch.grid_channels,
        grid_size=arch.grid_size,
        local_details=arch.local_details,
    )


def build_discriminator(arch: Architecture, num_classes: int) -> Discriminator:
    """Build a discriminator with random weights."""
    return Discriminator(
        size=arch.size,
        num_classes=num_classes,
        channels=arch.discriminator_channels,
        image_channels=arch.image_channels,
    )


def build_fusion(arch: Architecture, feature_channels: int) -> Fusion:
    """Build a fusion for features of that many channels."""
    return Fusion(feature_channels, arch.style_dim, arch.grid_channels, arch.grid_size)
