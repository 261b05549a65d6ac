"""Settings for data in which some classes are rare: how images are drawn, what is pasted."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tgn.runtime.bounds import Count, PositiveShare, Share
from tgn.runtime.config import Settings

Sampling = Literal["uniform", "repeat-factor", "class-balanced"]
REAL = "real"  # value of paste: objects of other training images


def _several(value: Any) -> Any:
    """Take one source, or none, for a list."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


Source = Annotated[str, Field(min_length=1)]


class LongTailSettings(Settings):
    """Sampling of training images, and objects of rare classes that are pasted into them."""

    sampling: Sampling = Field(
        "uniform",
        description="of images (or tiles): uniform; repeat-factor, as LVIS; class-balanced: a "
        "class, then an image with it",
    )
    repeat_threshold: PositiveShare = Field(
        0.001, description="of repeat-factor: classes in a smaller share of the images are repeated"
    )
    paste: Annotated[tuple[Source, ...], BeforeValidator(_several)] = Field(
        (),
        max_length=10,
        description="objects of rare classes into training images: real (of other images), a run "
        "(its drawn chips), a folder of tgn chips, or several, such as [real,demo]",
    )
    paste_share: Share = Field(0.5, description="of the images that get one to three objects")
    paste_below: Count = Field(
        100, description="classes with fewer objects in the training part are pasted"
    )

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's: ``paste`` was one source or null."""
        found = super().with_new_names(values)
        return {**found, "paste": list(_several(found.get("paste")))}
