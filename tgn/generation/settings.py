"""Settings that every way of generation shares; imports nothing heavy."""

from typing import Literal

from pydantic import Field

from tgn.runtime.settings import ComputeSettings, LoopSettings

StoreFormat = Literal["png", "jpeg", "webdataset"]


class PreviewSettings(LoopSettings):
    """How long to train a generator, and how often it is looked at."""

    grid_every: int = Field(500, ge=1, description="steps between sample grids and collapse checks")
    collapse_fraction: float = Field(
        0.3, ge=0, description="alarm when samples vary less than this share of real images"
    )


class GenerateSettings(ComputeSettings):
    """Settings of ``tgn generate``, whatever draws."""

    noise: float = Field(0.4, ge=0, le=1, description="r: 0 redraws the source, 1 forgets it")
    n: int | None = Field(None, ge=1, description="images a class; default: fill up to the largest")
    format: StoreFormat = Field("png", description="png, jpeg, or webdataset: png in .tar shards")
    block: int = Field(64, ge=1, description="images drawn at once; fixes the last bit of pixels")
    seed: int = Field(0, description="another seed draws other images")

    @property
    def how(self) -> str:
        """What a backend was told beside: images drawn in another way are others."""
        own = set(type(self).model_fields) - set(GenerateSettings.model_fields)
        return self.model_dump_json(include=own) if own else ""
