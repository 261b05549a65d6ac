"""Accuracy metrics of a classifier, from its confusion matrix."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


def confusion_matrix(batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the counts of predictions: [C, C], row = true class, column = predicted class.

    Args:
        batches: logits [B, C] and labels [B], as :func:`tgn.models.inference.predictions` yields.

    Raises:
        ValueError: if there is no batch.
    """
    counts = [confusion_of(logits, labels) for logits, labels in batches]
    if not counts:
        raise ValueError("an empty image set has no confusion matrix")
    return torch.stack(counts).sum(0)


def confusion_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the confusion matrix [C, C] of one batch of logits [B, C] with labels [B]."""
    classes = logits.shape[1]
    flat = labels * classes + logits.argmax(1)
    return torch.bincount(flat, minlength=classes * classes).view(classes, classes)


def recalls(confusion: Tensor) -> Tensor:
    """Return the accuracy of each class, [C]; NaN for a class without images."""
    return confusion.diagonal().double() / confusion.sum(1).double()


def group_accuracy(confusion: Tensor, classes: Sequence[int]) -> float | None:
    """Return the class-mean accuracy over those ``classes`` that have images; None if none has."""
    values = recalls(confusion)[list(classes)]
    values = values[~values.isnan()]
    return float(values.mean()) if len(values) else None


def balanced_accuracy_error(confusion: Tensor) -> float:
    """Return the standard error of the class-mean accuracy over classes with images, in [0, 0.5].

    Binomial, with one hit and one miss added to each class (Agresti and Coull 1998): without
    them the error of a class of one image would be 0.
    """
    counts = confusion.sum(1).double()
    has_images = counts > 0
    hits, counts = confusion.diagonal().double()[has_images] + 1, counts[has_images] + 2
    share = hits / counts
    return float((share * (1 - share) / counts).sum().sqrt() / max(len(counts), 1))


def macro_f1(confusion: Tensor) -> float:
    """Return the mean of F1 = 2 TP / (2 TP + FP + FN) over the classes with images."""
    hits = confusion.diagonal().double()
    f1 = 2 * hits / (confusion.sum(0) + confusion.sum(1)).clamp(min=1)
    return float(f1[confusion.sum(1) > 0].mean())


def summary(confusion: Tensor, num_head: int) -> dict[str, Any]:
    """Return overall, balanced, head and tail accuracy, macro F1 and n, all in [0, 1].

    Head and tail are class means (each class counts alike, however many test images it has).
    """
    classes = len(confusion)
    return {
        "n": int(confusion.sum()),
        "overall": float(confusion.diagonal().sum() / confusion.sum()),
        "balanced": group_accuracy(confusion, range(classes)),
        "head": group_accuracy(confusion, range(num_head)),
        "tail": group_accuracy(confusion, range(num_head, classes)),
        "macro_f1": macro_f1(confusion),
    }
