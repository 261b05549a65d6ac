"""Settings of KMDN; imports nothing heavy."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field

from tgn.models.rates import RateSettings
from tgn.models.settings import FeatureDistance
from tgn.runtime.settings import ComputeSettings, LoopSettings


class DistillSettings(RateSettings, ComputeSettings, LoopSettings):
    """Settings of ``tgn distill``."""

    renamed: ClassVar[Mapping[str, str]] = {"warmup": "warmup_fraction"}

    arch: str = Field(
        "tf_efficientnet_lite0", description="any timm network with stages, or 'tiny'"
    )
    size: int = Field(64, ge=16, description="side in pixels at which images are read")
    steps: int = Field(200, ge=4, description="optimisation steps, warm-up and both students")
    batch_size: int = Field(32, ge=2, description="images a step, over all processes")
    schedule: Literal["alternating", "mutual"] = Field(
        "alternating", description="alternating: one student after the other; mutual: both at once"
    )
    warmup_fraction: float = Field(
        0.3, gt=0, lt=1, description="share of the steps without a teacher"
    )
    rounds: int = Field(1, ge=1, description="alternating: number of times each net is student")
    feature_weight: float = Field(
        1.0, ge=0, description="weight of the distance to the teacher's features"
    )
    feature_distance: FeatureDistance = Field(
        "normalised", description="normalised: of maps of unit root mean square; mse: as published"
    )
    control: bool = Field(
        True, description="also train both nets as long without a teacher: half as much time again"
    )
    bank_grid: int = Field(8, ge=1, description="features are pooled to at most this side")
    bank_views: int = Field(8, ge=1, le=8, description="symmetries of each image in the bank")

    def resolved(self) -> Self:
        """Return the settings with values in place of ``auto`` and ``None``."""
        return self.model_copy(update={"optimizer": self.optimizer_used, **self.rates._asdict()})
