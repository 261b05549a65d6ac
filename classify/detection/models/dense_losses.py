"""What dense detectors ask of one image: scores and box distributions to named losses."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from classify.detection.boxes.coders import Coder, distribution_focal_loss, expected
from classify.detection.boxes.gaussian_losses import gwd_loss, kld_loss
from classify.detection.boxes.rotated import upright
from classify.detection.models.assignment import BACKGROUND, atss, by_overlap
from classify.detection.settings import RotatedLoss

GIOU_WEIGHT, DFL_WEIGHT = 2.0, 0.25
BETA = 2.0  # of the quality focal loss
SMOOTH = 1 / 9
ROTATED_WEIGHTS: Mapping[RotatedLoss, float] = {"smooth-l1": 1.0, "gwd": 5.0, "kld": 1.0}


class Said(NamedTuple):
    """What a dense detector says of one image."""

    scores: Tensor  # logits [A, C]
    shapes: Tensor  # logits [A, P, K]
    anchors: Tensor  # [A, 4] in pixels of the network's input
    levels: tuple[int, ...]  # anchors of each level


class Labelled(NamedTuple):
    """What is really there."""

    boxes: Tensor  # [G, 4 or 5] in pixels of the network's input; G may be 0
    labels: Tensor  # [G], from 0


class Criterion(Protocol):
    """Losses of one image, and which anchors they take for objects."""

    def assign(self, said: Said, there: Labelled) -> Tensor:
        """The object of each anchor, or a negative number, [A]."""

    def __call__(self, said: Said, there: Labelled) -> dict[str, Tensor]:
        """Named losses, scalars."""


class GeneralizedFocal:
    """QFL, GIoU and DFL over ATSS (arXiv 2006.04388, eq. 5, 6 and section 3.3).

    Differs from the paper: sums are over the positives of an image, then images are averaged, so
    that processes need not know of one another.
    """

    def __init__(self, coder: Coder) -> None:
        self.coder = coder

    def assign(self, said: Said, there: Labelled) -> Tensor:
        """By ATSS."""
        return atss(said.anchors, said.levels, there.boxes)

    def __call__(self, said: Said, there: Labelled) -> dict[str, Tensor]:
        """Losses of one image."""
        assigned = self.assign(said, there)
        rows = (assigned >= 0).nonzero().flatten()
        labels, target = there.labels[assigned[rows]], there.boxes[assigned[rows]]
        anchors, shapes = said.anchors[rows], said.shapes[rows]
        found = self.coder.decode(expected(shapes, self.coder.bins), anchors)
        quality = torch.zeros_like(said.scores)
        quality[rows, labels] = box_iou_paired(found.detach(), target)
        weight = said.scores[rows].detach().sigmoid().amax(dim=1)
        total = weight.sum().clamp(min=1.0)
        edges = self.coder.encode(target, anchors)
        focal = distribution_focal_loss(shapes.flatten(0, 1), edges.flatten())
        giou = generalized_box_iou_loss(found, target)
        return {
            "classes": quality_focal_loss(said.scores, quality).sum() / max(len(rows), 1),
            "giou": GIOU_WEIGHT * (weight * giou).sum() / total,
            "dfl": DFL_WEIGHT * (weight * focal.view(-1, 4).mean(dim=1)).sum() / total,
        }


class RotatedFocal:
    """Focal loss and a loss of decoded rotated boxes; anchors by the upright boxes round objects.

    Args:
        coder: of rotated boxes.
        box_loss: smooth-l1 (of parameters), gwd or kld (of boxes).
    """

    def __init__(self, coder: Coder, box_loss: RotatedLoss) -> None:
        self.coder, self.box_loss = coder, box_loss

    def assign(self, said: Said, there: Labelled) -> Tensor:
        """By overlap with upright boxes."""
        return by_overlap(said.anchors, upright(there.boxes))

    def __call__(self, said: Said, there: Labelled) -> dict[str, Tensor]:
        """Losses of one image."""
        assigned = self.assign(said, there)
        rows = (assigned >= 0).nonzero().flatten()
        wanted = torch.zeros_like(said.scores)
        wanted[rows, there.labels[assigned[rows]]] = 1.0
        sure = assigned >= BACKGROUND
        focal = sigmoid_focal_loss(said.scores[sure], wanted[sure], reduction="sum")
        values = expected(said.shapes[rows], self.coder.bins)
        each = self._boxes(values, there.boxes[assigned[rows]], said.anchors[rows])
        count = max(len(rows), 1)
        boxes = ROTATED_WEIGHTS[self.box_loss] * each.sum() / count
        return {"classes": focal / count, "boxes": boxes}

    def _boxes(self, values: Tensor, target: Tensor, anchors: Tensor) -> Tensor:
        if self.box_loss == "smooth-l1":
            wanted = self.coder.encode(target, anchors)
            return F.smooth_l1_loss(values, wanted, beta=SMOOTH, reduction="none").sum(dim=1)
        distance: Callable[[Tensor, Tensor], Tensor]
        distance = gwd_loss if self.box_loss == "gwd" else kld_loss
        return distance(self.coder.decode(values, anchors), target)


def quality_focal_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Focal loss towards soft targets (arXiv 2006.04388, eq. 5): [A, C], [A, C] -> [A, C]."""
    gap = (quality - logits.sigmoid()).abs()
    return gap**BETA * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def box_iou_paired(first: Tensor, second: Tensor) -> Tensor:
    """Overlap of box k with box k: two [N, 4] -> [N]."""
    if len(first) == 0:
        return first.new_zeros(0)
    lower = torch.maximum(first[:, :2], second[:, :2])
    upper = torch.minimum(first[:, 2:], second[:, 2:])
    common = (upper - lower).clamp(min=0).prod(dim=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1) for boxes in (first, second)]
    return common / (areas[0] + areas[1] - common).clamp(min=1e-9)
