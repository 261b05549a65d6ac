"""What can be set about training and drawing by diffusion."""

from typing import Literal

from pydantic import Field

from tgn.generation.settings import GenerateSettings, PreviewSettings
from tgn.runtime.settings import ComputeSettings


class DiffusionSettings(ComputeSettings, PreviewSettings):
    """Settings of ``tgn train --backend diffusion``."""

    size: Literal[32, 64, 128] = Field(32, description="side in pixels")
    width: int = Field(96, ge=16, multiple_of=16, description="channels at full resolution")
    steps: int = Field(3000, ge=1, description="optimisation steps")
    batch_size: int = Field(64, ge=4, description="images a step, over all processes")
    classes: Literal["all", "tail"] = Field("all", description="train on head classes too, or not")
    predicts: Literal["image", "velocity"] = Field(
        "image", description="what the network says: image (learned sooner) or velocity"
    )
    perceptual: float = Field(
        1.0, ge=0, description="weight of the image's distance as the tail net sees it"
    )
    lr: float = Field(1e-3, gt=0, description="highest learning rate (AdamW, cosine)")
    weight_decay: float = Field(0.01, ge=0, description="of all weights")
    dropped: float = Field(0.1, ge=0, lt=1, description="images without class, for guidance")
    min_snr: float = Field(2.0, ge=1, description="gamma of the min-SNR weight of a time")
    transfer: float = Field(0.1, ge=0, description="tau, of likeness to drawings of head classes")
    ema_images: float = Field(10_000, gt=0, description="half-life of the averaged weights, images")


class SampleSettings(GenerateSettings):
    """Settings of ``tgn generate`` with a trained diffusion model."""

    doubt: float = Field(
        0.2, ge=0, lt=1, description="freedom beside the features: 0 none, near 1 all"
    )
    sampler: Literal["dpm++", "ddim"] = Field("dpm++", description="dpm++ (second order) or ddim")
    sampling_steps: int = Field(8, ge=2, le=1000, description="times the network is asked")
    guidance: float = Field(2.0, ge=1, description="classifier-free: 1 is none; higher, surer")
    tail_guidance: float = Field(0.0, ge=0, description="towards what the tail net takes for it")
    clip_guidance: float = Field(0.0, ge=0, description="towards the prompts of the class")
    clip: str = Field("none", description="none, arch:tag or arch:/file; for clip_guidance")
