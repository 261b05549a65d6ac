"""Classifier agreement: how many generated images are taken for the class they were made as."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Agreement:
    """Shares of images whose prediction is their class.

    Attributes:
        overall: over all images, 0 to 1.
        per_class: class number to share, for classes that have images.
    """

    overall: float
    per_class: dict[int, float]


def agreement(predictions: Tensor, labels: Tensor) -> Agreement:
    """Share of images that a classifier assigns to their class.

    Args:
        predictions: predicted class numbers, int64 [N], N >= 1.
        labels: intended class numbers, int64 [N].

    Returns:
        The overall share and one per class present in ``labels``.

    Raises:
        ValueError: if the shapes differ or nothing was predicted.
    """
    if predictions.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"predictions {[*predictions.shape]} != labels {[*labels.shape]}, both [N]"
        )
    if len(labels) == 0:
        raise ValueError("no predictions to compare")
    right = (predictions == labels).double()
    classes = [int(c) for c in torch.unique(labels)]
    return Agreement(float(right.mean()), {c: float(right[labels == c].mean()) for c in classes})
