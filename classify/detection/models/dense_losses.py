"""Training losses of dense detectors, of one image: class and box logits to named losses."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from classify.detection.boxes.coders import Coder, distribution_focal_loss, expected_value
from classify.detection.boxes.gaussian_losses import (
    bounded_gwd_loss,
    gwd_loss,
    halved_kld_loss,
    kld_loss,
)
from classify.detection.boxes.rotated import to_upright
from classify.detection.boxes.upright import paired_box_iou
from classify.detection.models.assignment import BACKGROUND, assign_atss, assign_max_iou
from classify.detection.models.batch_means import LossSum
from classify.detection.settings.head import RotatedLoss

GIOU_WEIGHT, DFL_WEIGHT = 2.0, 0.25
QFL_BETA = 2.0  # exponent of the quality focal loss
SMOOTH_L1_BETA = 1 / 9
_PairedLoss = Callable[[Tensor, Tensor], Tensor]
_GAUSSIAN: Mapping[RotatedLoss, _PairedLoss] = {
    "gwd": gwd_loss,
    "gwd-bounded": bounded_gwd_loss,
    "kld": kld_loss,
    "kld-half": halved_kld_loss,
}
ROTATED_WEIGHTS: Mapping[RotatedLoss, float] = {  # as released; ours have the same
    "smooth-l1": 1.0,
    "gwd": 5.0,
    "gwd-bounded": 5.0,
    "kld": 1.0,
    "kld-half": 1.0,
}


class ImagePredictions(NamedTuple):
    """Output of a dense detector for one image."""

    class_logits: Tensor  # [A, C]
    box_logits: Tensor  # of the distributions of box parameters, [A, P, K]
    anchors: Tensor  # [A, 4] in pixels of the network's input
    levels: tuple[int, ...]  # number of anchors of each level


class ImageTargets(NamedTuple):
    """Annotated objects of one image, as the losses take them."""

    boxes: Tensor  # [G, 4 or 5] in pixels of the network's input; G may be 0
    labels: Tensor  # [G], 0 for the first class


class DenseCriterion(Protocol):
    """Losses of one image, and the assignment of its anchors."""

    def assign(self, predictions: ImagePredictions, targets: ImageTargets) -> Tensor:
        """Return the object of each anchor, or a negative number, [A]."""

    def __call__(self, predictions: ImagePredictions, targets: ImageTargets) -> dict[str, LossSum]:
        """Return named sums over the anchors of an image; :func:`batch_means` makes losses."""


class GeneralizedFocalCriterion:
    """QFL, GIoU and DFL over ATSS (arXiv 2006.04388, eq. 5, 6 and section 3.3).

    Args:
        coder: of upright boxes.
    """

    def __init__(self, coder: Coder) -> None:
        self.coder = coder

    def assign(self, predictions: ImagePredictions, targets: ImageTargets) -> Tensor:
        """Assign anchors by ATSS."""
        return assign_atss(predictions.anchors, predictions.levels, targets.boxes)

    def __call__(self, predictions: ImagePredictions, targets: ImageTargets) -> dict[str, LossSum]:
        """Return the sums of one image."""
        assigned = self.assign(predictions, targets)
        rows = (assigned >= 0).nonzero().flatten()
        labels, boxes = targets.labels[assigned[rows]], targets.boxes[assigned[rows]]
        anchors, box_logits = predictions.anchors[rows], predictions.box_logits[rows]
        decoded = self.coder.decode(expected_value(box_logits, self.coder.bins), anchors)
        quality = torch.zeros_like(predictions.class_logits)
        quality[rows, labels] = paired_box_iou(decoded.detach(), boxes)
        weight = predictions.class_logits[rows].detach().sigmoid().amax(dim=1)
        sure, count = weight.sum(), torch.as_tensor(float(len(rows)), device=rows.device)
        edges = self.coder.encode(boxes, anchors)
        focal = distribution_focal_loss(box_logits.flatten(0, 1), edges.flatten())
        giou = generalized_box_iou_loss(decoded, boxes)
        classes = quality_focal_loss(predictions.class_logits, quality)
        return {
            "classes": LossSum(classes.sum(), count),
            "giou": LossSum(GIOU_WEIGHT * (weight * giou).sum(), sure),
            "dfl": LossSum(DFL_WEIGHT * (weight * focal.view(-1, 4).mean(dim=1)).sum(), sure),
        }


class RotatedCriterion:
    """Focal loss and a box loss of rotated boxes; anchors are assigned by enclosing upright boxes.

    Args:
        coder: of rotated boxes.
        box_loss: smooth-l1 (of parameters), or one of the Gaussian losses (of boxes).
    """

    def __init__(self, coder: Coder, box_loss: RotatedLoss) -> None:
        self.coder, self.box_loss = coder, box_loss

    def assign(self, predictions: ImagePredictions, targets: ImageTargets) -> Tensor:
        """Assign anchors by their IoU with upright boxes."""
        return assign_max_iou(predictions.anchors, to_upright(targets.boxes))

    def __call__(self, predictions: ImagePredictions, targets: ImageTargets) -> dict[str, LossSum]:
        """Return the sums of one image."""
        assigned = self.assign(predictions, targets)
        rows = (assigned >= 0).nonzero().flatten()
        one_hot = torch.zeros_like(predictions.class_logits)
        one_hot[rows, targets.labels[assigned[rows]]] = 1.0
        used = assigned >= BACKGROUND
        focal = sigmoid_focal_loss(predictions.class_logits[used], one_hot[used], reduction="sum")
        values = expected_value(predictions.box_logits[rows], self.coder.bins)
        each = self._box_losses(values, targets.boxes[assigned[rows]], predictions.anchors[rows])
        count = torch.as_tensor(float(len(rows)), device=rows.device)
        boxes = ROTATED_WEIGHTS[self.box_loss] * each.sum()
        return {"classes": LossSum(focal, count), "boxes": LossSum(boxes, count)}

    def _box_losses(self, values: Tensor, boxes: Tensor, anchors: Tensor) -> Tensor:
        if self.box_loss == "smooth-l1":
            target = self.coder.encode(boxes, anchors)
            loss = F.smooth_l1_loss(values, target, beta=SMOOTH_L1_BETA, reduction="none")
            return loss.sum(dim=1)
        return _GAUSSIAN[self.box_loss](self.coder.decode(values, anchors), boxes)


def quality_focal_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Return the focal loss of soft targets (arXiv 2006.04388, eq. 5): two [A, C] -> [A, C]."""
    gap = (quality - logits.sigmoid()).abs()
    return gap**QFL_BETA * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
