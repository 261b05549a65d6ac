"""Settings of ``classify probe``; imports nothing heavy."""

from typing import Literal

from pydantic import Field, field_validator

from tgn.runtime.settings import ComputeSettings

HeadName = Literal["ridge", "prototypes", "softmax"]


class ProbeSettings(ComputeSettings):
    """Settings of a linear probe."""

    networks: str = Field(
        "tf_efficientnet_lite0",
        description="frozen networks: ARCH with packaged weights, or ARCH:FILE; several by commas",
    )
    head: HeadName = Field("ridge", description="ridge, prototypes or softmax")
    size: int = Field(128, ge=16, description="side in pixels that the networks see")
    bands: int = Field(3, ge=1, le=64, description="3: RGB, 1: grey; others from .npy files")
    symmetries: int = Field(8, ge=1, le=8, description="of every image, in training and test")
    crops: int = Field(6, ge=0, description="random crops of every training image")
    smallest_crop: float = Field(0.5, gt=0, le=1, description="side of a crop; the largest is 1")
    with_validation: bool = Field(
        False, description="also fit the validation part, which a probe does not need"
    )
    seed: int = Field(0, description="of the random crops")

    @field_validator("networks")
    @classmethod
    def _names(cls, value: str) -> str:
        if not all(part.strip() for part in value.split(",")):
            raise ValueError("expected ARCH or ARCH:FILE, several separated by commas")
        return value


def probe_name(settings: ProbeSettings, augmented: bool) -> str:
    """Name the classifier by what tells probes apart, e.g. ``probe-prototypes+generated``."""
    head = "" if settings.head == "ridge" else f"-{settings.head}"
    return f"probe{head}" + "+generated" * augmented
