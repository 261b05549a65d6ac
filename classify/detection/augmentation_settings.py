"""Settings of how training images are changed at random."""

from typing import Literal

from pydantic import Field

from tgn.runtime.config import Settings

Flips = Literal["both", "horizontal", "vertical", "diagonal", "none"]


class AugmentationSettings(Settings):
    """Random changes of training images and their boxes."""

    flips: Flips = Field(
        "both",
        description="each half of the time; both: each by itself; diagonal: both at once; none",
    )
