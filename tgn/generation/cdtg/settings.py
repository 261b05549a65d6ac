"""Settings of training CDTG and of sampling from it; imports nothing heavy."""

from typing import Literal

from pydantic import Field

from tgn.generation.settings import GenerateSettings, GeneratorTrainSettings


class CdtgTrainSettings(GeneratorTrainSettings):
    """Settings of ``tgn train`` with CDTG."""

    preset: Literal["tiny", "base", "paper"] = Field("tiny", description="32–64, 64–128 or 256 px")
    size: int | None = Field(None, description="side in pixels; default: the preset's")
    clip: str = Field("tiny", description="tiny, none, arch:tag or arch:/file")
    clip_steps: int = Field(250, ge=1, description="training steps of clip=tiny")
    lr: float = Field(0.004, gt=0, description="learning rate of both networks (Adam)")
    adversarial_weight: float = Field(0.5, ge=0, description="weight of the adversarial loss")
    class_weight: float = Field(0.1, ge=0, description="weight of the tail net's cross-entropy")
    clip_weight: float = Field(0.05, ge=0, description="weight of the CLIP cross-entropy")
    diversity_weight: float = Field(0.5, ge=0, description="weight of the diversity loss")
    source_weight: float = Field(
        10.0, ge=0, description="weight of the distance to the source image, at low r"
    )
    r1_gamma: float = Field(1.0, ge=0, description="weight of the R1 penalty, gamma")
    r1_every: int = Field(16, ge=1, description="steps between R1 penalties")
    path_weight: float = Field(2.0, ge=0, description="weight of path length regularisation")
    path_every: int = Field(16, ge=1, description="steps between path length penalties")
    augment: tuple[Literal["colour", "translation", "cutout"], ...] = Field(
        ("colour", "translation", "cutout"), description="differentiable augmentations"
    )


class CdtgSampleSettings(GenerateSettings):
    """Settings of ``tgn generate`` with CDTG."""

    compile: bool = Field(
        False, description="torch.compile: faster after half a minute, needs a C++ compiler on CPUs"
    )

    @property
    def how(self) -> str:
        """Nothing: compiling changes a pixel by one level here and there."""
        return ""
