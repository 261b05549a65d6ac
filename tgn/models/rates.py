"""Which optimiser a network is trained with, and how fast; imports nothing heavy."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

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


def chosen_optimizer(name: OptimizerName, is_pretrained: bool) -> OptimizerName:
    """Return ``sgd`` or ``adamw``; ``auto`` is adamw from pretrained weights, sgd from scratch."""
    if name != "auto":
        return name
    return "adamw" if is_pretrained else "sgd"
