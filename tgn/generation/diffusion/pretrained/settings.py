"""Settings of adapting a pretrained model and of sampling from it; imports nothing heavy."""

from typing import Literal

from pydantic import Field

from tgn.generation.settings import GenerateSettings
from tgn.runtime.settings import ComputeSettings, LoopSettings


class PretrainedTrainSettings(ComputeSettings, LoopSettings):
    """Settings of ``tgn train --backend stable-diffusion``."""

    model: str = Field("", description="name on the hub, or a folder in the diffusers format")
    size: int | None = Field(
        None, ge=32, multiple_of=8, description="side in pixels; default: the model's own"
    )
    tuning: Literal["none", "lora"] = Field("none", description="none, or lora on the run's images")
    classes: Literal["all", "tail"] = Field(
        "tail", description="lora: images of which classes; head classes need all"
    )
    rank: int = Field(8, ge=1, description="of the LoRA matrices")
    steps: int = Field(500, ge=1, description="optimisation steps of tuning")
    batch_size: int = Field(4, ge=1, description="images a step, over all processes")
    lr: float = Field(1e-4, gt=0, description="learning rate of tuning (AdamW)")


class PretrainedSampleSettings(GenerateSettings):
    """Settings of ``tgn generate`` with a pretrained model."""

    block: int = Field(
        4, ge=1, description="images computed at once; changes the last bit of pixels"
    )
    sampling_steps: int = Field(25, ge=2, le=1000, description="steps of the sampler at r = 1")
    guidance: float = Field(5.0, ge=1, description="classifier-free guidance scale; 1 is none")
