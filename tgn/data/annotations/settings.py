"""Settings of cutting chips out of annotated images; imports nothing heavy."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tgn.runtime.bounds import InnerShare, Seed
from tgn.runtime.config import Settings


class ChipSettings(Settings):
    """Settings of ``tgn chips``."""

    renamed: ClassVar[Mapping[str, str]] = {"holdout": "test_fraction"}

    margin: float = Field(0.15, ge=0, le=2, description="round the object, of its longer side")
    min_side: float = Field(
        12, gt=0, le=10_000, description="lowest longer side of an object, in pixels"
    )
    skip_difficult: bool = Field(False, description="leave out objects marked difficult")
    test_fraction: InnerShare = Field(0.2, description="share of the images, for test chips")
    seed: Seed = Field(0, description="seed of the choice of test images")
    part: Literal["train", "val", "test"] | None = Field(
        None, description="all chips are of that part, in OUT/<part>; none: train and test"
    )

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        given = self.model_fields_set & {"test_fraction", "seed"}
        if self.part is not None and given:
            raise ValueError(
                f"{min(given)} got part={self.part}, and then no test images are drawn; leave "
                f"{min(given)} out"
            )
        return self
