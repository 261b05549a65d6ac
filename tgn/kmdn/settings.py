"""Settings of KMDN; imports nothing heavy."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from tgn.models.settings import BackboneSettings
from tgn.runtime.settings import ComputeSettings, LoopSettings


class DistillSettings(BackboneSettings, ComputeSettings, LoopSettings):
    """Settings of ``tgn distill``."""

    renamed: ClassVar[Mapping[str, str]] = {"warmup": "warmup_fraction"}

    steps: int = Field(800, ge=4, description="optimisation steps, warm-up and both students")
    batch_size: int = Field(64, ge=2, description="images a step, over all processes")
    schedule: Literal["alternating", "mutual"] = Field(
        "alternating", description="alternating: one student after the other; mutual: both at once"
    )
    warmup_fraction: float = Field(
        0.3, gt=0, lt=1, description="share of the steps without a teacher"
    )
    rounds: int = Field(1, ge=1, description="alternating: number of times each net is student")
    feature_weight: float = Field(0.2, ge=0, description="weight of MSE to the teacher's features")
    lr: float = Field(0.05, gt=0, description="highest learning rate of each student (SGD)")
    weight_decay: float = Field(5e-4, ge=0, description="of both nets")
    bank_grid: int = Field(8, ge=1, description="features are pooled to at most this side")
    bank_views: int = Field(8, ge=1, le=8, description="symmetries of each image in the bank")
