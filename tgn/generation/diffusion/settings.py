"""Settings of training a diffusion model and of sampling from it; imports nothing heavy."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from tgn.generation.settings import GenerateSettings, GeneratorTrainSettings


class DiffusionTrainSettings(GeneratorTrainSettings):
    """Settings of ``tgn train --backend diffusion``."""

    renamed: ClassVar[Mapping[str, str]] = {
        "predicts": "prediction_type",
        "perceptual": "perceptual_weight",
        "dropped": "class_dropout",
        "min_snr": "min_snr_gamma",
        "transfer": "transfer_weight",
    }

    size: Literal[32, 64, 128] = Field(32, description="side in pixels")
    width: int = Field(96, ge=16, multiple_of=16, description="channels at full resolution")
    prediction_type: Literal["image", "velocity"] = Field(
        "image", description="output of the network: image (learned sooner) or velocity"
    )
    perceptual_weight: float = Field(
        1.0, ge=0, description="weight of the perceptual loss in the tail net's features"
    )
    lr: float = Field(1e-3, gt=0, description="highest learning rate (AdamW, cosine)")
    weight_decay: float = Field(0.01, ge=0, description="of all weights")
    class_dropout: float = Field(
        0.1, ge=0, lt=1, description="share of images without class and source, for guidance"
    )
    min_snr_gamma: float = Field(2.0, ge=1, description="gamma of the min-SNR weight of a timestep")
    transfer_weight: float = Field(
        0.1, ge=0, description="weight of the transfer loss (head to tail), tau"
    )


class DiffusionSampleSettings(GenerateSettings):
    """Settings of ``tgn generate`` with a trained diffusion model."""

    renamed: ClassVar[Mapping[str, str]] = {"doubt": "conditioning_noise"}

    conditioning_noise: float = Field(
        0.2, ge=0, lt=1, description="noise in the source's features: 0 none, near 1 ignores them"
    )
    sampler: Literal["dpm++", "ddim"] = Field("dpm++", description="dpm++ (second order) or ddim")
    sampling_steps: int = Field(8, ge=2, le=1000, description="steps of the sampler")
    guidance: float = Field(2.0, ge=1, description="classifier-free guidance scale; 1 is none")
    tail_guidance: float = Field(0.0, ge=0, description="strength of guidance by the tail net")
    clip_guidance: float = Field(0.0, ge=0, description="strength of guidance by CLIP")
    clip: str = Field("none", description="none, arch:tag or arch:/file; for clip_guidance")
