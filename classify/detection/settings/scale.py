"""Settings of how large an image is for the network."""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from tgn.runtime.bounds import LARGEST_SIDE, ShareBelowOne, Side
from tgn.runtime.config import Settings

WHOLE_IMAGE_SIZE = 448  # pixels
LONGEST_SIDE = 1333  # usual with short sides


def _default_size(values: Mapping[str, Any]) -> int:
    """Return the default of ``size``: tiles are shown as they are."""
    return values.get("tile_size") or (
        LONGEST_SIDE if values.get("short_sides") else WHOLE_IMAGE_SIZE
    )


class ScaleSettings(Settings):
    """Tiles, and the sizes to which images are scaled."""

    tile_size: int | None = Field(
        None,
        ge=64,
        le=LARGEST_SIDE,
        description="larger images are cut into square tiles of this side, in pixels",
    )
    tile_overlap: ShareBelowOne = Field(
        0.2, description="of neighbouring tiles, a share of their side"
    )
    short_sides: tuple[Side, ...] = Field(
        (),
        max_length=1000,
        description="short side of scaled whole images in pixels, drawn from these for each batch; "
        "size then bounds the long side",
    )
    test_short_side: Side | None = Field(
        None, description="short side in tests and predictions; default the largest of short_sides"
    )
    size: int = Field(
        default_factory=_default_size,
        ge=64,
        le=LARGEST_SIDE,
        description="long side of scaled images, in pixels; with tile_size, side of a scaled tile; "
        "default 448, with short_sides 1333, or tile_size",
    )

    @property
    def short_side(self) -> int | None:
        """Return the short side of predictions; None: images are scaled by their long side."""
        return self.test_short_side or max(self.short_sides, default=None)

    @property
    def scale_in_words(self) -> str:
        """Return in words how large an image is for the network."""
        if self.tile_size is not None:
            return (
                f"images over {self.tile_size} px are cut into tiles of {self.tile_size} px, each "
                f"shown at {self.size} px; smaller images have the same scale and are padded"
            )
        if self.short_side is None:
            return f"each image is scaled to a long side of {self.size} px"
        trained = ", ".join(map(str, self.short_sides))
        return (
            f"each image is scaled to a short side of {self.short_side} px (in training: {trained})"
            f", its long side to {self.size} px at most"
        )

    def scale_uses(self) -> Iterator[tuple[str, bool, str]]:
        """Yield settings, whether anything reads them, and what would."""
        yield "tile_overlap", self.tile_size is not None, "tile_size"
        yield "test_short_side", bool(self.short_sides), "short_sides"

    @model_validator(mode="after")
    def _has_one_scale(self) -> Self:
        if self.short_sides and self.tile_size is not None:
            raise ValueError("got tile_size and short_sides; all tiles have one scale: take one")
        if (largest := max(*self.short_sides, self.short_side or 0, 0)) > self.size:
            raise ValueError(f"a short side of {largest} px is above the longest, size={self.size}")
        return self
