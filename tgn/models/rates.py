"""Which optimiser a network is trained with, and how fast; imports nothing heavy."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from tgn.models.settings import BackboneSettings
from tgn.runtime.bounds import LearningRate, Weight

OptimizerName = Literal["auto", "sgd", "adamw"]
HEAD_LR_FACTOR = 10.0  # of the rate of a new last layer on pretrained weights


class Rates(NamedTuple):
    """Learning rate and weight decay where the settings say none."""

    lr: float
    weight_decay: float


DEFAULT_RATES: Mapping[tuple[str, bool], Rates] = {  # optimiser, pretrained
    ("sgd", False): Rates(0.05, 5e-4),
    ("sgd", True): Rates(0.01, 5e-4),
    ("adamw", False): Rates(1e-3, 0.05),
    ("adamw", True): Rates(1e-3, 0.05),
}


class RateSettings(BackboneSettings):
    """Which network is trained, by which optimiser, and how fast."""

    optimizer: OptimizerName = Field(
        "auto", description="auto: adamw from pretrained weights, sgd from scratch"
    )
    lr: LearningRate | None = Field(
        None,
        description="highest learning rate; none: adamw 0.001, sgd 0.05, pretrained sgd 0.01",
    )
    weight_decay: Weight | None = Field(
        None, description="none: adamw 0.05, sgd 0.0005; norms and biases have no decay"
    )

    @property
    def optimizer_used(self) -> OptimizerName:
        """``sgd`` or ``adamw``."""
        if self.optimizer != "auto":
            return self.optimizer
        return "adamw" if self.is_pretrained else "sgd"

    @property
    def rates(self) -> Rates:
        """Learning rate and weight decay, those of the optimiser where none is set."""
        default = DEFAULT_RATES[self.optimizer_used, self.is_pretrained]
        return Rates(
            default.lr if self.lr is None else self.lr,
            default.weight_decay if self.weight_decay is None else self.weight_decay,
        )
