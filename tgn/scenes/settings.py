"""Settings of the built-in data; imports nothing heavy."""

from typing import Literal

from pydantic import Field

from tgn.runtime.bounds import Count, Imbalance
from tgn.runtime.config import Settings

MIN_SIZE = 32
"""Side in pixels below which lines of a court, or boats, cannot be recognised."""

Modality = Literal["eo", "sar", "eo,sar"]


class ScenesSettings(Settings):
    """Settings of ``tgn scenes``."""

    size: int = Field(default=32, ge=MIN_SIZE, le=1024, description="side of a chip in pixels")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="random seed; chips of two seeds differ"
    )
    largest: Count = Field(default=200, description="training images of the largest class")
    imbalance: Imbalance = Field(default=20.0, description="largest / smallest training count")
    test_per_class: Count = Field(default=50, description="test images of every class")
    profile: Literal["longtail", "balanced"] = Field(
        default="longtail",
        description="longtail: exponential, aircraft first; balanced: all the largest",
    )
    modality: Modality = Field(
        default="eo", description="eo: camera; sar: radar; eo,sar: both, in folders of that name"
    )


class ImagesSettings(Settings):
    """Settings of ``tgn scenes --boxes rotated``."""

    boxes: Literal["rotated"] = Field("rotated", description="kind of boxes")
    size: int = Field(256, ge=128, le=2048, description="side of an image in pixels")
    seed: int = Field(0, ge=0, lt=2**63, description="random seed; images of two seeds differ")
    train: Count = Field(300, description="training images")
    test: Count = Field(100, description="test images")
    objects: int = Field(10, ge=1, le=1000, description="objects per image, about")
    imbalance: Imbalance = Field(10.0, description="frequency of the first class over the last")

    @property
    def total(self) -> int:
        """Number of images of both parts."""
        return self.train + self.test
