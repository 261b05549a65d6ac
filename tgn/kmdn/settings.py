"""Settings of KMDN; imports nothing heavy."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field

from tgn.models.rates import RateSettings
from tgn.models.settings import ArchName, FeatureDistance
from tgn.runtime.bounds import InnerShare, PairedBatchSize, Rounds, Side, Symmetries, Weight
from tgn.runtime.settings import ComputeSettings, LoopSettings


class DistillSettings(RateSettings, ComputeSettings, LoopSettings):
    """Settings of ``tgn distill``."""

    renamed: ClassVar[Mapping[str, str]] = {"warmup": "warmup_fraction"}

    arch: ArchName = Field(
        "tf_efficientnet_lite0", description="any timm network with stages, or 'tiny'"
    )
    size: Side = Field(64, description="side in pixels at which images are read")
    steps: int = Field(
        200, ge=4, le=10**8, description="optimisation steps, warm-up and both students"
    )
    batch_size: PairedBatchSize = Field(32, description="images a step, over all processes")
    schedule: Literal["alternating", "mutual"] = Field(
        "alternating", description="alternating: one student after the other; mutual: both at once"
    )
    warmup_fraction: InnerShare = Field(0.3, description="share of the steps without a teacher")
    rounds: Rounds = Field(1, description="alternating: number of times each net is student")
    feature_weight: Weight = Field(
        1.0, description="weight of the distance to the teacher's features"
    )
    feature_distance: FeatureDistance = Field(
        "normalised", description="normalised: of maps of unit root mean square; mse: as published"
    )
    control: bool = Field(
        True, description="also train both nets as long without a teacher: half as much time again"
    )
    bank_grid: int = Field(8, ge=1, le=256, description="features are pooled to at most this side")
    bank_views: Symmetries = Field(8, description="symmetries of each image in the bank")

    def resolved(self) -> Self:
        """Return the settings with values in place of ``auto`` and ``None``."""
        return self.model_copy(update={"optimizer": self.optimizer_used, **self.rates._asdict()})
