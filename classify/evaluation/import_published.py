"""Import of published residual networks: those of TGN, T2FTS and in torchvision's names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tgn.data.split import Split
from tgn.models.backbones import TappedNet, save_classifier
from tgn.models.classifier_facts import ClassifierFacts
from tgn.models.foreign_weights import bare_names, batch_counters
from tgn.runtime.checkpoints import load_strictly, load_weights
from tgn.runtime.errors import UserError
from tgn.runtime.explanations import content_of, named
from tgn.runtime.files import sha256_of

# Blocks of the four layers, and whether a block has a third convolution -> timm's name.
ARCHITECTURES: Mapping[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}
HEADS = ("fc.0", "fclass", "fc")  # the last layer of TGN, of T2FTS, of torchvision
GREY_STEM = "conv2.weight"  # of T2FTS, beside a colour stem that it never uses
STEM = "conv1.weight"


def import_classifier(
    split: Split,
    file: Path,
    out: Path,
    size: int,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.5,),
) -> TappedNet:
    """Convert a published residual network to our checkpoint.

    Names are torchvision's, but for the last layer (:data:`HEADS`) and the grey stem of T2FTS.
    Published labels are folder numbers. If the run's folders are the numbers 0 to C - 1, label k is
    folder k; else the labels are the folders in alphabetical order.

    Args:
        split: of the run, for its classes.
        file: tensors only.
        out: file to write.
        size: side in pixels of its input images; TGN and T2FTS trained at 224.
        mean: of pixels in [0, 1], that it was trained with: one number, or one a band.
        std: likewise.

    Returns:
        The network in eval mode.

    Raises:
        UserError: for a file with code in it, another layout or number of classes.
    """
    state = bare_names(load_weights(file), (), str(file))
    with content_of(file), named(str(file)):
        head = _head(state, file)
        if (classes := len(state[f"{head}.weight"])) != split.num_classes:
            raise UserError(f"{file} has {classes} classes, the run {split.num_classes}")
        weights = _renamed(state, head, torch.tensor(_published_labels(split)))
        bands = weights[STEM].shape[1] if STEM in weights else 3
        folders = tuple(entry.folder for entry in split.classes)
        arch = _architecture(weights, file)
    facts = (arch, size, bands, False, folders, _a_band(mean, bands), _a_band(std, bands))
    net = TappedNet(ClassifierFacts(*facts))
    load_strictly(net.net, batch_counters(net.net.state_dict()) | weights, str(file))
    save_classifier(out, net, imported_sha256=sha256_of(file))
    return net.eval()


def _head(state: Mapping[str, Tensor], file: Path) -> str:
    for head in HEADS:
        if f"{head}.weight" in state:
            return head
    raise UserError(
        f"{file} has no last layer {', '.join(f'{head}.weight' for head in HEADS)}; expected a "
        "residual network of TGN (result.pth), of T2FTS or in torchvision's names"
    )


def _renamed(state: Mapping[str, Tensor], head: str, order: Tensor) -> dict[str, Tensor]:
    """Return the entries under torchvision's names, the last layer in the run's order."""
    weights = dict(state)
    if GREY_STEM in weights:
        weights[STEM] = weights.pop(GREY_STEM)
    for part in ("weight", "bias"):
        if (value := weights.pop(f"{head}.{part}", None)) is not None:
            weights[f"fc.{part}"] = value[order]
    return weights


def _architecture(weights: Mapping[str, Tensor], file: Path) -> str:
    blocks = tuple(
        len({name.split(".")[1] for name in weights if name.startswith(f"layer{layer}.")})
        for layer in range(1, 5)
    )
    arch = ARCHITECTURES.get((blocks, "layer1.0.conv3.weight" in weights))
    if arch is None:
        known = ", ".join(ARCHITECTURES.values())
        raise UserError(f"{file} has layers of {blocks} blocks; expected one of {known}")
    return arch


def _a_band(values: Sequence[float], bands: int) -> tuple[float, ...]:
    if len(values) not in (1, bands):
        raise UserError(
            f"mean and std got {len(values)} numbers, expected 1 or {bands}, one a band"
        )
    return tuple(values) * bands if len(values) == 1 else tuple(values)


def _published_labels(split: Split) -> list[int]:
    """Return the published label of each class of the run."""
    folders = [entry.folder for entry in split.classes]
    if sorted(folders) == sorted(str(k) for k in range(len(folders))):
        return [int(folder) for folder in folders]
    place = {folder: k for k, folder in enumerate(sorted(folders))}
    return [place[folder] for folder in folders]
