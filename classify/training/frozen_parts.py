"""Parts of a pretrained network that stay as they are while the rest is fine-tuned."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from classify.training.optimisation_settings import Tuning
from classify.training.optimiser import layers_of
from tgn.models.adapters import is_of_adapter
from tgn.models.backbones import TappedNet
from tgn.runtime.errors import UserError


class FrozenParts:
    """All but the adapters or the last layer; or the first stages; or the statistics of norms.

    Nothing before the first trained layer is recorded for the backward pass, so frozen stages cost
    the time and memory of a forward pass alone.

    Args:
        net: its parameters in the first stages lose their gradients.
        stages: how many of the network's stages are frozen, with the stem before them.
        tuning: what is trained.
        norms: whether all batch normalisations keep their statistics; their weights are trained.

    Raises:
        UserError: if the network has fewer stages, or no batch normalisation.
    """

    def __init__(self, net: TappedNet, stages: int, norms: bool, tuning: Tuning = "all") -> None:
        names = frozen_parameters(net, stages) | untuned_parameters(net, tuning)
        for name, parameter in net.net.named_parameters():
            if name in names:
                parameter.requires_grad_(False)
        modules = net.net.named_modules()
        self.fixed = [part for name, part in modules if _lies_in(name, part, names)]
        batch_norms = [part for part in net.net.modules() if isinstance(part, _BatchNorm)]
        if norms and not batch_norms:
            raise UserError(
                f"freeze_norm got {net.facts.arch}, which has no batch norms; leave it out"
            )
        self.fixed += batch_norms if norms else []

    def hold(self) -> None:
        """Put them into eval mode; call it whenever the network was put into training mode."""
        for part in self.fixed:
            part.eval()


def frozen_parameters(net: TappedNet, stages: int) -> set[str]:
    """Return the names of the parameters of the stem and the first stages.

    Raises:
        UserError: if the network has fewer stages.
    """
    if stages == 0:
        return set()
    if stages > net.stages:
        raise UserError(f"freeze_stages got {stages}; {net.facts.arch} has {net.stages} stages")
    groups = layers_of(net.net, coarse=True)
    end = net.net.feature_info[stages - 1]["module"] + "."
    last = max((group for name, group in groups.items() if name.startswith(end)), default=0)
    return {name for name, group in groups.items() if group <= last}


def untuned_parameters(net: TappedNet, tuning: Tuning) -> set[str]:
    """Return the names of the parameters that are not trained: of all but adapters, last layer."""
    if tuning == "all":
        return set()
    head = f"{net.classifier_name}."
    names = {name for name, _ in net.net.named_parameters() if not name.startswith(head)}
    return {name for name in names if tuning == "head" or not is_of_adapter(name)}


def _lies_in(name: str, part: nn.Module, frozen: set[str]) -> bool:
    """Return whether a module has parameters and all of them are frozen."""
    prefix = f"{name}." if name else ""
    own = [prefix + inner for inner, _ in part.named_parameters()]
    return bool(own) and frozen.issuperset(own)
