"""Import of the published TGN classifier into a run."""

from pathlib import Path

import torch
from torch import Tensor

from tgn.data.split import Split
from tgn.models.backbones import TappedNet, save_classifier
from tgn.models.classifier_facts import ClassifierFacts
from tgn.runtime.checkpoints import load_strictly, load_weights
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of

ARCH, HEAD = "resnet50", "fc.0."


def import_classifier(split: Split, file: Path, out: Path, size: int) -> TappedNet:
    """Convert a published ResNet-50 (``result.pth``: last layer ``fc.0``) to our checkpoint.

    Published labels are folder numbers. If the run's folders are the numbers 0 to C - 1, label k is
    folder k; else the labels are the folders in alphabetical order.

    Args:
        split: of the run, for its classes.
        file: tensors only.
        out: file to write.
        size: side in pixels of its input images; it was trained at 224.

    Returns:
        The network in eval mode.

    Raises:
        UserError: for a file with code in it, another layout or number of classes.
    """
    state = load_weights(file)
    if f"{HEAD}weight" not in state:
        raise UserError(
            f"{file} has no {HEAD}weight; expected a published TGN classifier, torchvision's "
            "ResNet-50 with its last layer in a Sequential"
        )
    classes = state[f"{HEAD}weight"].shape[0]
    if classes != split.num_classes:
        raise UserError(f"{file} has {classes} classes, the run {split.num_classes}")
    order = torch.tensor(_published_labels(split))
    weights: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith(HEAD):
            weights[f"fc.{name.removeprefix(HEAD)}"] = value[order]
        else:
            weights[name] = value
    folders = tuple(entry.folder for entry in split.classes)
    half = (0.5, 0.5, 0.5)  # as published
    net = TappedNet(ClassifierFacts(ARCH, size, 3, False, folders, half, half))
    load_strictly(net.net, weights, str(file))
    save_classifier(out, net, imported_sha256=sha256_of(file))
    return net.eval()


def _published_labels(split: Split) -> list[int]:
    """Return the published label of each class of the run."""
    folders = [entry.folder for entry in split.classes]
    if sorted(folders) == sorted(str(k) for k in range(len(folders))):
        return [int(folder) for folder in folders]
    place = {folder: k for k, folder in enumerate(sorted(folders))}
    return [place[folder] for folder in folders]
