"""The weights a detector's backbone starts from, for pixels normalised by ImageNet's statistics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision import models

from tgn.models.foreign_weights import load_backbone
from tgn.models.initial_weights import InitialWeights, read_initial_weights
from tgn.models.settings import FROM_SCRATCH, HUB
from tgn.runtime.errors import UserError
from tgn.runtime.explanations import content_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def load_initial_weights(net: nn.Module, name: str, weights: str) -> None:
    """Load weights of an image classifier into a network without its last layer.

    Args:
        net: sees pixels normalised by MEAN and STD; weights for others are converted.
        name: of the network in torchvision or timm.
        weights: ``none``; ``imagenet``, of an installed package; ``pretrained``, torchvision's or
            timm's, which must be cached or fetched; or a file.

    Raises:
        UserError: for weights that are not available or do not fit.
    """
    if weights == FROM_SCRATCH:
        return
    found = _read(name, weights)
    if found.small_stem or len(found.mean) != len(MEAN):
        raise UserError(
            f"{weights} was trained on images of 64 pixels or less, or of {len(found.mean)} bands; "
            "expected a classifier of larger colour images: "
            f"classify train --set arch={name} --set size=96"
        )
    load_backbone(net, found.weights, f"{found.source} as {name}", by_order=True)
    if (found.mean, found.std) != (MEAN, STD):
        with content_of(Path(found.source)):
            net.load_state_dict(
                with_imagenet_normalisation(net.state_dict(), found.mean, found.std)
            )


def _read(name: str, weights: str) -> InitialWeights:
    build: Any = getattr(models, name, None)
    if weights != HUB or build is None:
        return read_initial_weights(name, weights)
    try:
        state = build(weights="DEFAULT").state_dict()
    except OSError as error:
        raise UserError(
            f"the weights of {name} are not cached and cannot be downloaded ({error}); "
            "give a local file: --set backbone_weights=FILE"
        ) from None
    return InitialWeights(state, f"torchvision's {name}", MEAN, STD)


def with_imagenet_normalisation(
    weights: Mapping[str, Tensor], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Return a network's weights for pixels normalised by MEAN and STD.

    The outputs stay equal, but for the border: zero padding stands for another pixel value.

    Args:
        weights: of the network, in the order of its layers: the first convolution has a bias, or
            batch normalisation comes after it.
        mean: of pixels in [0, 1], that it was trained with, a number a band.
        std: likewise.

    Raises:
        ValueError: if it begins otherwise.
    """
    stem = next((name for name, value in weights.items() if value.ndim == 4), "")
    bias = stem.removesuffix("weight") + "bias"
    running = next((name for name in weights if name.endswith("running_mean")), "")
    if not stem or (bias not in weights and not running):
        raise ValueError("the first layer is no convolution with a bias or batch normalisation")
    first = weights[stem]  # [D, 3, k, k]
    known_mean, known_std = first.new_tensor([mean, std])
    here_mean, here_std = first.new_tensor([MEAN, STD])
    shift = (first.sum(dim=(2, 3)) * (here_mean - known_mean) / known_std).sum(dim=1)  # [D]
    changed = {stem: first * (here_std / known_std)[:, None, None]}
    if bias in weights:
        changed[bias] = weights[bias] + shift
    else:
        changed[running] = weights[running] - shift
    return {**weights, **changed}
