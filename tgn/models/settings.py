"""Settings of a classifier network; imports nothing heavy."""

from pydantic import Field

from tgn.runtime.config import Settings


class BackboneSettings(Settings):
    """Which network, at what size, from which weights."""

    arch: str = Field("tiny", description="'tiny', or any timm network with stages, e.g. resnet50")
    weights: str | None = Field(None, description="none, 'pretrained' (timm's), or a local file")
    size: int = Field(32, ge=16, description="side in pixels at which images are read")
    bands: int = Field(3, ge=1, le=64, description="3: RGB, 1: grey; others from .npy files")
