"""SGD or AdamW over the parameters of a network, its last layer at a rate of its own."""

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


def two_rate_groups(
    body: Iterable[nn.Parameter],
    head: Iterable[nn.Parameter],
    head_factor: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Return the parameters by rate and decay; vectors (norms, biases) do not decay.

    Args:
        body: trained at the rate of the step.
        head: trained at ``head_factor`` times that rate.
        head_factor: > 0.
        weight_decay: of matrices and filters.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for scale, parameters in ((1.0, body), (head_factor, head)):
        for parameter in parameters:
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
