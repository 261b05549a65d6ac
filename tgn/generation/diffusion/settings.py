"""Settings of training a diffusion model and of sampling from it; imports nothing heavy."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from tgn.generation.settings import GeneratorTrainSettings, TransferSettings
from tgn.runtime.bounds import LearningRate, ShareBelowOne, Steps, Weight, Width


class DiffusionTrainSettings(GeneratorTrainSettings):
    """Settings of ``tgn train --backend diffusion``."""

    renamed: ClassVar[Mapping[str, str]] = {"dropped": "class_dropout"}

    autoencoder_steps: Steps = Field(
        1000, description="training steps of the autoencoder, once per run"
    )
    width: Width = Field(48, description="channels at full resolution")
    lr: LearningRate = Field(1e-3, description="highest learning rate (AdamW, cosine)")
    weight_decay: Weight = Field(0.01, description="of all weights")
    class_dropout: ShareBelowOne = Field(
        0.1, description="share of images without class and source, for guidance"
    )


class DiffusionSampleSettings(TransferSettings):
    """Settings of ``tgn generate`` with a trained diffusion model."""

    renamed: ClassVar[Mapping[str, str]] = {"doubt": "conditioning_noise"}

    conditioning_noise: ShareBelowOne = Field(
        0.4, description="noise in the source's features: 0 none, near 1 ignores them"
    )
    crop: float = Field(
        1.0, gt=0.1, le=1, description="sources are rotated crops of this side or more; 1: whole"
    )
    sampling_steps: int = Field(
        20, ge=2, le=1000, description="steps from pure noise; r of them from a source"
    )
    guidance: float = Field(
        2.0, ge=1, le=1000, description="classifier-free guidance scale; 1 is none"
    )
    tail_guidance: Weight = Field(0.0, description="strength of guidance by the tail net")
    clip_guidance: Weight = Field(0.0, description="strength of guidance by CLIP")
    clip: str = Field("none", description="none, arch:tag or arch:/file; for clip_guidance")
