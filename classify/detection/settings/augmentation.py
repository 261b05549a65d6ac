"""Settings of how training images are changed at random."""

from typing import Literal

from pydantic import Field

from tgn.runtime.bounds import Share
from tgn.runtime.config import Settings

Flips = Literal["both", "horizontal", "vertical", "diagonal", "none"]


class AugmentationSettings(Settings):
    """Random changes of training images and their boxes."""

    flips: Flips = Field(
        "both",
        description="each half of the time; both: each by itself; diagonal: both at once; none",
    )
    quarter_turns: bool = Field(
        False,
        description="turn by 0, 90, 180 or 270 degrees, each as likely; for views from above",
    )
    mosaic: Share = Field(
        0.0, description="share of images shown as a mosaic: parts of four training images in one"
    )
