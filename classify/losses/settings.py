"""Settings of the losses and the names of their variants; imports nothing heavy."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from tgn.runtime.bounds import Factor, ShareBelowOne, Weight
from tgn.runtime.config import Settings

LossName = Literal["ce", "focal", "ldam", "balanced-softmax", "logit-adjustment"]
Reweighting = Literal["none", "effective-number", "deferred"]
MimicLoss = Literal["l2", "lsh", "lshl2"]
HyperplaneBias = Literal["zero", "mean", "median"]


class LossSettings(Settings):
    """Hyperparameters of the losses for long-tailed labels; each loss reads its own."""

    renamed: ClassVar[Mapping[str, str]] = {
        "gamma": "focal_gamma",
        "margin": "ldam_margin",
        "scale": "ldam_scale",
        "tau": "logit_adjustment_tau",
        "beta": "effective_number_beta",
    }

    focal_gamma: Weight = Field(2.0, description="focusing parameter; 0 is cross-entropy")
    ldam_margin: Factor = Field(0.5, description="margin of the rarest class, as a cosine")
    ldam_scale: Factor = Field(30.0, description="factor of the cosine")
    logit_adjustment_tau: Weight = Field(1.0, description="factor of the log class frequency")
    effective_number_beta: ShareBelowOne = Field(
        0.999, description="of reweighting by effective numbers"
    )
