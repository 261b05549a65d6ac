"""Settings that several verbs share; imports nothing heavy, so that ``--help`` answers at once."""

from typing import Literal

from pydantic import Field

from tgn.core.config import Settings

Precision = Literal["auto", "bf16", "float32"]
StoreFormat = Literal["png", "jpeg", "webdataset"]


class ComputeSettings(Settings):
    """Device and precision of a verb."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU if any")
    precision: Precision = Field("auto", description="auto: bf16 where the hardware has it")


class LoopSettings(Settings):
    """How long to train and how often to look up."""

    steps: int = Field(1000, ge=1, description="optimisation steps")
    log_every: int = Field(20, ge=1, description="steps between lines of metrics.jsonl")
    save_every: int = Field(500, ge=1, description="steps between checkpoints")
    seed: int = Field(0, description="seed of everything random")


class BackboneSettings(Settings):
    """Which network, at what size, from which weights."""

    arch: str = Field("tiny", description="'tiny', or any timm network with stages, e.g. resnet50")
    weights: str | None = Field(None, description="none, 'pretrained' (timm's), or a local file")
    size: int = Field(32, ge=16, description="side in pixels at which images are read")
    bands: int = Field(3, ge=1, le=64, description="3: RGB, 1: grey; others from .npy files")


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
