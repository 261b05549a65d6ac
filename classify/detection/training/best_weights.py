"""The best weights of a training by its validation part, and whether it may end early."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class BestWeights:
    """The weights with the highest score of all looks; of equal scores the later.

    Args:
        patience: so many looks without a gain are enough; None: never.
    """

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience
        self.score, self.step, self.looks_without_gain = -1.0, 0, 0
        self.weights: dict[str, Tensor] = {}

    def look(self, score: float, step: int, net: nn.Module) -> None:
        """Note a score, and keep the weights if there was none higher.

        Args:
            score: at least 0, higher is better.
            step: number of finished steps.
            net: that has the score.
        """
        self.looks_without_gain = 0 if score > self.score else self.looks_without_gain + 1
        if score >= self.score:
            weights = net.state_dict()
            self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
            self.score, self.step = score, step

    @property
    def is_enough(self) -> bool:
        """Return whether looks have been without a gain for long enough."""
        return self.patience is not None and self.looks_without_gain >= self.patience

    def load_into(self, net: nn.Module) -> None:
        """Give a network the best weights; without any look it keeps its own."""
        if self.weights:
            net.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a continuation needs."""
        names = ("score", "step", "looks_without_gain", "weights")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)
