"""Evaluation of a classifier on held-out real images."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from classify.evaluation.calibration import Reliability
from classify.evaluation.prior_shift import (
    balanced_assignment,
    capped_assignment,
    shifted_accuracies,
)
from tgn.data.image_set import ImageSet
from tgn.data.split import Split
from tgn.data.splits.class_profiles import shot_groups
from tgn.metrics.classification import confusion_of, group_accuracy, recalls, summary
from tgn.models.backbones import TappedNet
from tgn.models.inference import predictions
from tgn.runtime.devices import Device
from tgn.runtime.files import atomic_path
from tgn.runtime.shown_text import for_chart

MANY, FEW = 100, 20  # training images of many- and few-shot classes


def evaluate(net: TappedNet, images: ImageSet, split: Split, device: Device) -> dict[str, Any]:
    """Return all metrics on held-out images, each in [0, 1] unless it is a count.

    Overall, balanced, head, tail, macro F1, many/medium/few and per-class accuracy; accuracy
    under other class priors; calibration. Groups are class means; a class without test images has
    accuracy None.
    """
    return evaluate_logits(predictions(net, images, device), split)


def evaluate_logits(batches: Iterable[tuple[Tensor, Tensor]], split: Split) -> dict[str, Any]:
    """Return the metrics of :func:`evaluate` from logits [B, C] with labels [B]."""
    classes, reliability = split.num_classes, Reliability()
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    for logits, labels in batches:
        confusion += confusion_of(logits, labels)
        reliability.add(logits, labels)
    return {**accuracy_report(confusion, split), **reliability.summary()}


def evaluate_assignment(
    net: TappedNet,
    images: ImageSet,
    split: Split,
    device: Device,
    caps: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """Return the metrics if chosen classes are predicted at most so often.

    This uses the prior of the test set and all its images at once, which a classifier in use does
    not know; report it separately or not at all.

    Args:
        net: in eval mode, on the device.
        images: held-out ones.
        split: of the run.
        device: of the network.
        caps: most images of a class, by class index; None: every class is predicted equally often.
    """
    pairs = list(predictions(net, images, device))
    probabilities = torch.cat([logits for logits, _ in pairs]).softmax(1)
    labels = torch.cat([labels for _, labels in pairs])
    if caps is None:
        assigned = balanced_assignment(probabilities)
    else:
        assigned = capped_assignment(probabilities, caps)
    one_hot = torch.nn.functional.one_hot(torch.tensor(assigned), split.num_classes)
    return accuracy_report(confusion_of(one_hot, labels), split)


def accuracy_report(confusion: Tensor, split: Split) -> dict[str, Any]:
    """Return the accuracies of a confusion matrix [C, C], rows are true classes.

    Many, medium and few are the classes with over 100, 20 to 100 and under 20 training images (Liu
    et al. 2019, arXiv 1904.05160).
    """
    counts = [entry.train + entry.val for entry in split.classes]
    groups = shot_groups(counts, MANY, FEW)
    shots = {
        name: group_accuracy(confusion, [k for k, group in enumerate(groups) if group == name])
        for name in ("many", "medium", "few")
    }
    accuracy = [None if value.isnan() else float(value) for value in recalls(confusion)]
    tested = confusion.sum(1).tolist()
    per_class = [
        {"folder": e.folder, "name": e.name, "train": n, "test": t, "accuracy": a}
        for e, n, t, a in zip(split.classes, counts, tested, accuracy, strict=True)
    ]
    return {
        **summary(confusion, split.num_head),
        **shots,
        "shifted": shifted_accuracies(confusion),
        "thresholds": {"many_over": MANY, "few_under": FEW},
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def draw_confusion(result: dict[str, Any], path: Path) -> None:
    """Write the confusion matrix as a PNG: rows are true classes, each row sums to 1."""
    names = [for_chart(row["name"], 20) for row in result["per_class"]]
    rows = result["confusion"]
    shares = [[value / max(sum(row), 1) for value in row] for row in rows]
    side = 2.2 + 0.3 * len(names)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(picture, shrink=0.7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
