"""A network of KMDN with its optimiser."""

from copy import deepcopy
from typing import Any

from torch import Tensor

from tgn.kmdn.settings import DistillSettings
from tgn.models.backbones import TappedNet
from tgn.models.optimizers import make_optimizer, rate_groups, set_rate
from tgn.models.rates import HEAD_LR_FACTOR
from tgn.runtime.devices import Device
from tgn.runtime.optimisation import optimise


class Learner:
    """Updates one network.

    Args:
        net: its new last layer gets a higher rate if the rest is pretrained.
        settings: resolved.
        device: averages gradients over the processes.
    """

    def __init__(self, net: TappedNet, settings: DistillSettings, device: Device) -> None:
        self.net, self.settings, self.device = net, settings, device
        head = {id(parameter) for parameter in net.classifier.parameters()}
        factor = HEAD_LR_FACTOR if settings.is_pretrained else 1.0
        scaled = ((p, factor if id(p) in head else 1.0) for p in net.parameters())
        groups = rate_groups(scaled, settings.rates.weight_decay)
        self.optimizer = make_optimizer(settings.optimizer_used, groups, settings.rates.lr)

    def update(self, loss: Tensor, lr: float) -> None:
        """Do one step down the gradient of a loss at a rate."""
        set_rate(self.optimizer, lr)
        optimise(loss, self.optimizer, self.device)

    def copy(self) -> "Learner":
        """Return another learner in the same state; the two share no tensors."""
        other = Learner(deepcopy(self.net), self.settings, self.device)
        other.load_state_dict(deepcopy(self.state_dict()))
        return other

    def state_dict(self) -> dict[str, Any]:
        """Return network and optimiser."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
