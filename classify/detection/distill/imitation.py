"""Feature imitation: the student's pyramid follows the teacher's at chosen locations.

Sources: Dai et al. 2021, General Instance Distillation (arXiv 2103.02340) for ``gibox``; Wang et
al. 2019 (arXiv 1906.03609) for ``fine-grained``; annotated boxes for ``gt``.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, nms

from classify.detection.boxes.coders import expected_value
from classify.detection.boxes.rotated import to_upright
from classify.detection.models.dense import BatchPredictions, DenseDetector
from classify.detection.models.dense_losses import ImagePredictions, ImageTargets
from classify.detection.settings import ImitationSettings

NUM_GENERAL_INSTANCES, GENERAL_INSTANCE_NMS_IOU = 10, 0.3
FINE_GRAINED_IOU = 0.5  # share of an object's largest IoU


def imitation_loss(
    own: BatchPredictions,
    taught: BatchPredictions,
    targets: list[ImageTargets],
    student: DenseDetector,
    settings: ImitationSettings,
) -> Tensor:
    """Return the weighted mean squared difference of the maps at the chosen locations.

    It is a mean over the locations of an image, then over images.

    Args:
        own: predictions of the student.
        taught: predictions of the teacher for the same images.
        targets: of each image.
        student: gives anchors and coder.
        settings: region and weight.

    Raises:
        RuntimeError: if the pyramids' widths differ.
    """
    masks = [
        _locations(own.of_image(k), taught.of_image(k), one, student, settings)
        for k, one in enumerate(targets)
    ]
    chosen = torch.stack(masks)  # [B, locations of all levels]
    sizes = [x.shape[2] * x.shape[3] for x in own.maps]
    total = chosen.new_zeros(len(chosen), dtype=torch.float32)
    for a, b, mask in zip(own.maps, taught.maps, chosen.split(sizes, dim=1), strict=True):
        gap = F.mse_loss(a.float(), b.float(), reduction="none").mean(dim=1).flatten(1)  # [B, hw]
        total = total + (gap * mask).sum(dim=1)
    return settings.weight * (total / chosen.sum(dim=1).clamp(min=1)).mean()


@torch.no_grad()
def _locations(
    own: ImagePredictions,
    taught: ImagePredictions,
    targets: ImageTargets,
    student: DenseDetector,
    settings: ImitationSettings,
) -> Tensor:
    """Return whether each location of the pyramid is imitated, [locations of all levels]."""
    per_location = student.anchors_per_location
    boxes = to_upright(targets.boxes) if targets.boxes.shape[1] == 5 else targets.boxes
    if settings.region == "gibox":
        return _inside(own.anchors[::per_location], general_instances(own, taught, student))
    if settings.region == "gt":
        return _inside(own.anchors[::per_location], boxes)
    if len(boxes) == 0:
        count = len(own.anchors) // per_location
        return torch.zeros(count, dtype=torch.bool, device=boxes.device)
    overlap = box_iou(own.anchors, boxes)
    near = (overlap > FINE_GRAINED_IOU * overlap.amax(dim=0)).any(dim=1)
    return near.view(-1, per_location).any(dim=1)


def general_instances(
    own: ImagePredictions, taught: ImagePredictions, student: DenseDetector
) -> Tensor:
    """Return the upright boxes [n, 4] whose scores differ most between student and teacher.

    Each box is decoded by the network with the higher score.
    """
    scores = [one.class_logits.sigmoid().amax(dim=1) for one in (own, taught)]
    gap = (scores[0] - scores[1]).abs()
    gap, rows = gap.topk(min(len(gap), 1000))
    by_teacher = (scores[1] > scores[0])[rows]
    box_logits = torch.where(
        by_teacher[:, None, None], taught.box_logits[rows], own.box_logits[rows]
    )
    values = expected_value(box_logits, student.coder.bins)
    boxes = student.coder.decode(values, own.anchors[rows])
    boxes = to_upright(boxes) if boxes.shape[1] == 5 else boxes
    return boxes[nms(boxes, gap, GENERAL_INSTANCE_NMS_IOU)[:NUM_GENERAL_INSTANCES]]


def _inside(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return whether the centre of each anchor lies in any box, [n]."""
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2)[:, None]
    return ((centres >= boxes[:, :2]) & (centres <= boxes[:, 2:])).all(dim=2).any(dim=1)
