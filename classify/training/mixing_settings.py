"""Settings of the mixing of images; imports nothing heavy."""

from typing import Literal

from pydantic import Field

from tgn.runtime.bounds import PositiveShare, Weight
from tgn.runtime.config import Settings

Mixing = Literal["none", "mixup", "cutmix", "remix", "cmo"]


class CmoSettings(Settings):
    """Settings of ``mixing=cmo``; the defaults are those of the paper on CIFAR100-LT."""

    power: Weight = Field(
        1.0, description="r: a foreground of a class with n images has the weight n^-r"
    )
    probability: PositiveShare = Field(0.5, description="of a step, that its images are mixed")
    margin: float = Field(
        0.015, ge=0, lt=0.5, description="share of the steps at both ends without mixing"
    )

    def is_on(self, progress: float, uniform: float) -> bool:
        """Whether a step is mixed.

        Args:
            progress: share of the steps that are done, in [0, 1).
            uniform: a random number of the step in [0, 1).
        """
        return self.margin <= progress < 1 - self.margin and uniform < self.probability
