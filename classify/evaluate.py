"""What a classifier is worth on held-out real images."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from tgn.core.backbones import TappedNet
from tgn.core.data import ImageSet
from tgn.core.devices import Device
from tgn.core.files import atomic_path
from tgn.core.longtail import shot_groups
from tgn.core.measures import confusion_matrix, group_accuracy, recalls, summary
from tgn.core.split import Split

MANY, FEW = 100, 20


def evaluate(net: TappedNet, images: ImageSet, split: Split, device: Device) -> dict[str, Any]:
    """Return overall, balanced, head, tail, macro F1, many/medium/few and per-class accuracy.

    All are in [0, 1]; groups are class means; a class without test images has accuracy null.
    """
    return report(confusion_matrix(net, images, device), split)


def report(confusion: Tensor, split: Split) -> dict[str, Any]:
    """Put the numbers of a confusion matrix [C, C] (rows: true class) into one record."""
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
        "thresholds": {"many_over": MANY, "few_under": FEW},
        "per_class": per_class,
        "confusion": confusion.tolist(),
    }


def draw_confusion(result: dict[str, Any], path: Path) -> None:
    """Write the confusion matrix as a PNG: rows are true classes, each row sums to 1."""
    names = [row["name"][:20] for row in result["per_class"]]
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
