"""What a network starts from: weights of a package, of timm's hub, of a file of ours or others'."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from tgn.models.classifier_facts import ClassifierFacts, read_facts
from tgn.models.foreign_weights import spread_statistic
from tgn.models.pretrained import PackagedWeights, file_of, imagenet_weights
from tgn.models.settings import HUB, PACKAGED, is_of_a_hub
from tgn.runtime.checkpoints import load_weights
from tgn.runtime.errors import UserError

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class InitialWeights:
    """Weights as they were found, and the normalisation that they expect."""

    weights: dict[str, Tensor]
    source: str  # in words, for messages and for the facts of the classifier
    mean: tuple[float, ...]  # of pixels in [0, 1], a number a band that the weights know
    std: tuple[float, ...]
    small_stem: bool = False

    def facts(self, bands: int) -> dict[str, Any]:
        """Return what :class:`ClassifierFacts` says of these weights in a network of ``bands``."""
        return {
            "mean": spread_statistic(self.mean, bands),
            "std": spread_statistic(self.std, bands),
            "small_stem": self.small_stem,
            "started_from": self.source,
        }


def read_initial_weights(arch: str, weights: str) -> InitialWeights:
    """Read the weights that a network starts from.

    Args:
        arch: of the network.
        weights: ``imagenet`` (see :mod:`tgn.models.pretrained`), ``pretrained`` (timm's hub) or a
            file.

    Raises:
        UserError: if they are not there, cannot be read or are of another architecture.
    """
    if weights == PACKAGED:
        return _packaged(arch)
    if weights == HUB:
        return _from_hub(arch)
    file = Path(weights)
    facts = read_facts(file)
    if facts is not None:
        return _ours(file, facts, arch)
    mean, std = _expected(arch)
    return InitialWeights(load_weights(file), str(file), mean, std)


def _packaged(arch: str) -> InitialWeights:
    entry = imagenet_weights(arch)
    source = f"{entry.name} of {entry.package}"
    return InitialWeights(dict(_read_once(entry)), source, entry.mean, entry.std)


@lru_cache(maxsize=2)  # a generator's frozen network and its judge
def _read_once(entry: PackagedWeights) -> dict[str, Tensor]:
    """Return packaged weights, which nobody may change: old .pth files are slow to read."""
    return load_weights(file_of(entry))


def _from_hub(arch: str) -> InitialWeights:
    import timm  # seconds to import: --help must not wait for it

    try:
        if is_of_a_hub(arch):
            raise RuntimeError("not a name of timm")
        net = timm.create_model(arch, pretrained=True)
    except Exception as error:  # the hub client raises many kinds when there is no network
        raise UserError(
            f"pretrained weights of {arch} could not be fetched ({type(error).__name__}); "
            "give a local file: --set weights=/path/to/file.safetensors"
        ) from None
    mean, std = _expected(arch)
    return InitialWeights(net.state_dict(), f"timm's pretrained {arch}", mean, std)


def _ours(file: Path, facts: ClassifierFacts, arch: str) -> InitialWeights:
    if facts.arch != arch:
        raise UserError(f"{file} is a {facts.arch}; expected arch={facts.arch}, got {arch}")
    if facts.adapter_size:
        raise UserError(
            f"{file} has adapters, with which no training begins; expected the weights that they "
            f"were trained on ({facts.started_from})"
        )
    return InitialWeights(load_weights(file), str(file), facts.mean, facts.std, facts.small_stem)


def _expected(arch: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation that timm names for published weights."""
    import timm

    config = timm.get_pretrained_cfg(arch) if timm.is_model(arch) else None
    return (HALF, HALF) if config is None else (tuple(config.mean), tuple(config.std))
