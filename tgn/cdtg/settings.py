"""What can be set about training and drawing with CDTG."""

from typing import Literal

from pydantic import Field

from tgn.core.settings import ComputeSettings, LoopSettings

StoreFormat = Literal["png", "jpeg", "webdataset"]


class TrainSettings(ComputeSettings, LoopSettings):
    """Settings of ``tgn train``."""

    preset: Literal["tiny", "base", "paper"] = Field("tiny", description="32–64, 64–128 or 256 px")
    size: int | None = Field(None, description="side in pixels; default: the preset's")
    steps: int = Field(3000, ge=1, description="optimisation steps")
    batch_size: int = Field(64, ge=4, description="images a step, over all processes")
    classes: Literal["all", "tail"] = Field("all", description="train on head classes too, or not")
    clip: str = Field("tiny", description="tiny, none, arch:tag or arch:/file")
    clip_steps: int = Field(250, ge=1, description="training steps of clip=tiny")
    lr: float = Field(0.004, gt=0, description="Adam's rate of both networks")
    adversarial_weight: float = Field(0.5, ge=0, description="weight of the adversarial term")
    class_weight: float = Field(0.1, ge=0, description="weight of the tail net's cross-entropy")
    clip_weight: float = Field(0.05, ge=0, description="weight of the CLIP cross-entropy")
    diversity_weight: float = Field(0.5, ge=0, description="weight of the diversity term")
    source_weight: float = Field(10.0, ge=0, description="weight of likeness to the source, low r")
    r1_gamma: float = Field(1.0, ge=0, description="weight of R1, gamma")
    r1_every: int = Field(16, ge=1, description="steps between R1 penalties")
    path_weight: float = Field(2.0, ge=0, description="weight of path length")
    path_every: int = Field(16, ge=1, description="steps between path length penalties")
    augment: tuple[Literal["colour", "translation", "cutout"], ...] = Field(
        ("colour", "translation", "cutout"), description="differentiable augmentations"
    )
    ema_images: float = Field(10_000, gt=0, description="half-life of the averaged weights, images")
    grid_every: int = Field(500, ge=1, description="steps between sample grids and collapse checks")
    collapse_fraction: float = Field(
        0.3, ge=0, description="alarm when samples vary less than this share of real images"
    )


class GenerateSettings(ComputeSettings):
    """Settings of ``tgn generate``."""

    noise: float = Field(0.4, ge=0, le=1, description="r: 0 redraws the source, 1 forgets it")
    n: int | None = Field(None, ge=1, description="images a class; default: fill up to the largest")
    format: StoreFormat = Field("png", description="png, jpeg, or webdataset: png in .tar shards")
    block: int = Field(64, ge=1, description="images drawn at once; fixes the last bit of pixels")
    seed: int = Field(0, description="another seed draws other images")
    compile: bool = Field(
        False, description="torch.compile: faster after half a minute, needs a C++ compiler on CPUs"
    )
