"""Settings of the features of a probe; imports nothing heavy."""

from typing import Literal

from pydantic import Field, field_validator

from tgn.runtime.bounds import Bands, Count, PositiveShare, Seed, Side, Symmetries
from tgn.runtime.config import Settings

HeadName = Literal["ridge", "prototypes", "softmax", "ensemble"]
GENERATED_SHARE = 0.4  # most of a class's weight that its generated images have
GENERATED_BELOW = 20  # real images of a class, from which on its generated ones are not used


class FewImagesSettings(Settings):
    """Settings of the classes of which generated images are used."""

    generated_below: Count = Field(
        GENERATED_BELOW,
        description="generated images are used of classes with fewer real images than that",
    )


class NetworkSettings(Settings):
    """Settings of the networks of a probe and of what they see of every image."""

    networks: str = Field(
        "tf_efficientnet_lite0",
        description="frozen networks: ARCH with packaged weights, or ARCH:FILE; several by commas",
    )
    size: Side = Field(128, description="side in pixels that the networks see")
    symmetries: Symmetries = Field(8, description="of every image, in training and test")

    @field_validator("networks")
    @classmethod
    def _names(cls, value: str) -> str:
        if not all(part.strip() for part in value.split(",")):
            raise ValueError("expected ARCH or ARCH:FILE, several separated by commas")
        return value


class ViewSettings(NetworkSettings):
    """Settings of all views of an image."""

    crops: int = Field(6, ge=0, le=1000, description="random crops of every training image")
    smallest_crop: PositiveShare = Field(0.5, description="side of a crop; the largest is 1")


class SymmetrySettings(NetworkSettings):
    """All that the features of an image's symmetries depend on."""

    bands: Bands = Field(3, description="3: RGB, 1: grey; others from TIFF, .npy")


class FeatureSettings(ViewSettings, SymmetrySettings):
    """All that the features of an image depend on."""

    seed: Seed = Field(0, description="of the random crops")
