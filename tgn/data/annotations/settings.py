"""Settings of cutting chips out of annotated images; imports nothing heavy."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from tgn.runtime.config import Settings


class ChipSettings(Settings):
    """Settings of ``tgn chips``."""

    renamed: ClassVar[Mapping[str, str]] = {"holdout": "test_fraction"}

    margin: float = Field(0.15, ge=0, le=2, description="round the object, of its longer side")
    min_side: float = Field(12, gt=0, description="lowest longer side of an object, in pixels")
    skip_difficult: bool = Field(False, description="leave out objects marked difficult")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="share of the images, for test chips")
    seed: int = Field(0, description="seed of the choice of test images")
