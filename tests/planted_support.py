"""Planted tasks: noisy shapes held in memory, a small network, and its accuracy."""

import numpy as np
import torch
from conftest import draw_shape
from torch import Tensor

from classify.training.settings import TrainSettings
from tgn.data.image_set import ImageSet
from tgn.metrics.classification import confusion_matrix, group_accuracy
from tgn.models.backbones import TappedNet
from tgn.models.classifier_facts import ClassifierFacts
from tgn.models.inference import predictions
from tgn.runtime.devices import Device

CLASSES, SIZE = 4, 16
BASE = {"arch": "tiny", "batch_size": 16, "size": SIZE, "device": "cpu", "precision": "float32"}
HALF = (0.5, 0.5, 0.5)


def shapes(
    counts: tuple[int, ...], seed: int, noise: float, size: int = SIZE
) -> tuple[Tensor, Tensor]:
    """Return images_u8 [N, 3, S, S], so many of each class, and their classes [N]."""
    labels = torch.arange(CLASSES).repeat_interleave(torch.tensor(counts))
    drawn = [np.asarray(draw_shape(int(k), 100_000 * seed + i, size)) for i, k in enumerate(labels)]
    images = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float()
    spread = noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + spread).clamp(0, 255).byte(), labels


def image_set(images: Tensor, labels: Tensor) -> ImageSet:
    """Return the images as a set that lies in memory."""
    found = ImageSet([], [], images.shape[-1])
    found.labels, found._cache, found._fits = labels, images, True
    found.files = [None] * len(labels)
    return found


def tiny_net(seed: int) -> TappedNet:
    """Return the network of the architecture ``tiny``."""
    torch.manual_seed(seed)
    return TappedNet(ClassifierFacts("tiny", SIZE, 3, True, tuple("abcd"), HALF, HALF))


def balanced_accuracy(net: TappedNet, test: ImageSet) -> float:
    """Return the class-mean accuracy in [0, 1]."""
    confusion = confusion_matrix(predictions(net, test, Device(TrainSettings(**BASE))))
    return group_accuracy(confusion, range(CLASSES)) or 0.0
