"""One step of an optimiser, as every training over several processes does it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tgn.runtime.devices import Device


def optimise(
    loss: Tensor | Iterable[Tensor],
    optimizer: torch.optim.Optimizer,
    device: Device,
    lr: float | None = None,
    max_grad_norm: float | None = None,
) -> None:
    """Move an optimiser's parameters down the gradient of a loss, averaged over all processes.

    Args:
        loss: scalar, of this process's part of the batch; or several, whose gradients are summed.
            If they are made one by one, one is in memory at a time.
        optimizer: of the parameters to change; their gradients stay after the step.
        device: averages gradients.
        lr: learning rate of this step, of all parameters; None is the optimiser's own.
        max_grad_norm: gradients, taken together, are clipped to this norm; None clips nothing.
    """
    if lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    optimizer.zero_grad(set_to_none=True)
    for one in (loss,) if isinstance(loss, Tensor) else loss:
        one.backward()
    device.average_gradients(parameters)
    if max_grad_norm is not None:
        nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    optimizer.step()
