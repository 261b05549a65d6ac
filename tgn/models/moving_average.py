"""Exponential moving averages of weights."""

from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged(net: nn.Module, decay: float) -> AveragedModel:
    """Return a moving average of a network's parameters and buffers.

    Args:
        net: is copied; call ``update_parameters(net)`` after every step.
        decay: share of the old average that stays at a step, in [0, 1). The first updates count
            more, (1 + t) / (10 + t), so that the random start is soon forgotten.
    """
    return AveragedModel(net, multi_avg_fn=_update(decay), use_buffers=True)


def _update(decay: float) -> Any:
    def update(means: list[Tensor], values: list[Tensor], count: Tensor | int) -> None:
        done = float(count)
        if means[0].is_floating_point():  # one call for all of them
            get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(means, values, count)
            return
        for mean, value in zip(means, values, strict=True):
            mean.copy_(value)

    return update
