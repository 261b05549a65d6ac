"""The optimiser of a training: which parameters it moves, at which rates, with which decay."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from classify.methods.base import Method
from classify.training.optimisation_settings import OptimisationSettings
from tgn.runtime.errors import UserError

MOMENTUM = 0.9
SCALE = "lr_scale"  # of a group: factor of the rate of the step


class _Part(NamedTuple):
    """What parameters of one group share."""

    scale: float
    decays: bool


def build_optimizer(method: Method, settings: OptimisationSettings) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, or AdamW, over the parameters that need gradients.

    AdamW: Loshchilov and Hutter 2019 (arXiv 1711.05101).

    Args:
        method: whose parameters are trained.
        settings: resolved.
    """
    assert settings.lr is not None
    groups = parameter_groups(method, settings)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, settings.lr, fused=True)
    return torch.optim.SGD(groups, settings.lr, momentum=MOMENTUM, nesterov=True)


def parameter_groups(method: Method, settings: OptimisationSettings) -> list[dict[str, Any]]:
    """Sort the parameters that need gradients by the factor of their rate and their decay.

    The last layer's factor is ``head_lr_factor``, that of the layer below it 1, and every layer
    further down has ``layer_decay`` times the factor of the one above it (Clark et al. 2020,
    ELECTRA, arXiv 2003.10555, section 3.1 and table 6; layers are timm's blocks). Parameters of a
    method beside the student's have the factor 1. Norms, biases and other vectors do not decay
    towards zero.

    Args:
        method: its student and its own parameters.
        settings: resolved.

    Raises:
        UserError: if timm does not say which layers the network has.
    """
    parts: dict[_Part, list[nn.Parameter]] = {}
    for parameter, scale in _scaled(method, settings):
        if parameter.requires_grad:
            parts.setdefault(_Part(scale, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            SCALE: part.scale,
            "weight_decay": settings.weight_decay if part.decays else 0.0,
        }
        for part, parameters in parts.items()
    ]


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the rate of a step."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[SCALE]


def layers_of(net: Any, coarse: bool) -> dict[str, int]:
    """Return the layer of each parameter, 0 the first, as timm numbers blocks or whole stages.

    Raises:
        UserError: if timm does not say.
    """
    from timm.models import group_parameters

    if not hasattr(net, "group_matcher"):
        raise UserError(
            f"{type(net).__name__} does not say which layers it has; leave layer_decay and "
            "freeze_stages out, or take another arch"
        )
    return group_parameters(net, net.group_matcher(coarse=coarse), reverse=True)


def _scaled(method: Method, settings: OptimisationSettings) -> Iterator[tuple[nn.Parameter, float]]:
    """Yield every parameter with the factor of its rate."""
    assert settings.head_lr_factor is not None
    net = method.student.net
    head = {id(parameter) for parameter in method.student.classifier.parameters()}
    decay = settings.layer_decay
    layers = layers_of(net, coarse=False) if decay < 1 else {}
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    last = max((layers[n] for i, n in names.items() if i not in head and n in layers), default=0)
    for parameter in method.parameters():
        if id(parameter) in head:
            yield parameter, settings.head_lr_factor
        else:
            layer = layers.get(names.get(id(parameter), ""), last)
            yield parameter, decay ** (last - layer)
