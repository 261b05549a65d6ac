"""Exponential moving averages of weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(net: nn.Module, decay: float) -> AveragedModel:
    """Return a moving average of a network's parameters and buffers.

    Args:
        net: is copied; call ``update_parameters(net)`` after every step.
        decay: share of the old average that stays at a step, in [0, 1). The first updates count
            more, (1 + t) / (10 + t), so that the random start is soon forgotten.
    """
    return AveragedModel(net, multi_avg_fn=_update(decay), use_buffers=True)


def _update(decay: float) -> Any:
    @torch.no_grad()
    def update(means: list[Tensor], values: list[Tensor], count: Tensor | int) -> None:
        done = float(count)
        weight = 1 - min(decay, (1 + done) / (10 + done))
        for mean, value in zip(means, values, strict=True):
            mean.lerp_(value, weight) if mean.is_floating_point() else mean.copy_(value)

    return update
