"""SGD or AdamW over groups of parameters, each at its share of the rate of a step."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from tgn.models.rates import OptimizerName

MOMENTUM = 0.9
SCALE = "lr_scale"  # of a group: factor of the rate of the step


def make_optimizer(
    name: OptimizerName, groups: list[dict[str, Any]], lr: float
) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), or SGD with Nesterov momentum.

    Args:
        name: ``adamw`` or ``sgd``.
        groups: of parameters, each with its ``lr_scale``.
        lr: highest learning rate.
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, lr, fused=True)
    return torch.optim.SGD(groups, lr, momentum=MOMENTUM, nesterov=True)


def rate_groups(
    scaled: Iterable[tuple[nn.Parameter, float]], weight_decay: float
) -> list[dict[str, Any]]:
    """Sort the parameters that need gradients by the factor of their rate and their decay.

    Args:
        scaled: parameters, each with the factor of the rate of the step.
        weight_decay: of matrices and filters; norms, biases and other vectors have none.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, scale in scaled:
        if parameter.requires_grad:
            decay = weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    return [
        {"params": found, SCALE: scale, "weight_decay": decay}
        for (scale, decay), found in groups.items()
    ]


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the rate of a step."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[SCALE]
