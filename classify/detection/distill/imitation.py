"""Feature imitation: the student's pyramid follows the teacher's at chosen locations.

Sources: Dai et al. 2021, General Instance Distillation (arXiv 2103.02340) for ``gibox``; Wang et
al. 2019 (arXiv 1906.03609) for ``fine-grained``; annotated boxes for ``gt``.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from classify.detection.boxes.coders import expected_value
from classify.detection.boxes.rotated import to_upright
from classify.detection.boxes.upright import largest, overlaps_of
from classify.detection.models.dense import BatchPredictions, DenseDetector
from classify.detection.models.dense_losses import ImagePredictions, ImageTargets
from classify.detection.settings.detector import ImitationSettings

NUM_GENERAL_INSTANCES, GENERAL_INSTANCE_NMS_IOU = 10, 0.3  # of a level
FINE_GRAINED_IOU = 0.5  # share of an object's largest IoU


def imitation_loss(
    own: BatchPredictions,
    taught: BatchPredictions,
    targets: list[ImageTargets],
    student: DenseDetector,
    settings: ImitationSettings,
) -> Tensor:
    """Return the weighted mean squared difference of the maps at the chosen locations.

    As released: a mean over the locations of a level in all images, summed over the levels; of
    upright boxes, over the levels on which any anchor has an object.

    Args:
        own: predictions of the student.
        taught: predictions of the teacher for the same images.
        targets: of each image.
        student: gives anchors, coder and assignment.
        settings: region and weight.

    Raises:
        RuntimeError: if the pyramids' widths differ.
    """
    masks = [
        _locations(own.of_image(k), taught.of_image(k), one, student, settings)
        for k, one in enumerate(targets)
    ]
    chosen = torch.stack(masks)  # [B, locations of all levels]
    used = _levels_with_objects(own, targets, student)
    sizes = [x.shape[2] * x.shape[3] for x in own.maps]
    total = own.maps[0].new_zeros((), dtype=torch.float32)
    levels = zip(own.maps, taught.maps, chosen.split(sizes, dim=1), used, strict=True)
    for a, b, mask, is_used in levels:
        gap = F.mse_loss(a.float(), b.float(), reduction="none").mean(dim=1).flatten(1)  # [B, hw]
        total = total + is_used * (gap * mask).sum() / mask.sum().clamp(min=1)
    return settings.weight * total


@torch.no_grad()
def _levels_with_objects(
    own: BatchPredictions, targets: list[ImageTargets], student: DenseDetector
) -> Tensor:
    """Return whether any anchor of each level has an object, [levels]; all of rotated boxes."""
    if targets[0].boxes.shape[1] == 5:
        return torch.ones(len(own.levels), dtype=torch.bool, device=own.anchors.device)
    assigned = [
        student.criterion.assign(own.of_image(k), one) >= 0 for k, one in enumerate(targets)
    ]
    positive = torch.stack(assigned).any(dim=0)
    return torch.stack([part.any() for part in positive.split(own.levels)])


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
    if settings.region == "gt":
        return _inside(own.anchors[::per_location], boxes)
    near = torch.zeros(len(own.anchors), dtype=torch.bool, device=boxes.device)
    if settings.region == "gibox":
        near[general_instances(own, taught, student)] = True
    else:
        rows, objects, overlap = overlaps_of(own.anchors, boxes)
        limit = FINE_GRAINED_IOU * largest(overlap, objects, len(boxes))
        near[rows[overlap > limit[objects]]] = True
    return near.view(-1, per_location).any(dim=1)


def general_instances(
    own: ImagePredictions, taught: ImagePredictions, student: DenseDetector
) -> Tensor:
    """Return the anchors [n] of each level on which student and teacher differ most in a class.

    Their boxes, each decoded by the network with the higher score of that class, do not overlap
    much.
    """
    gaps = taught.class_logits.sigmoid() - own.class_logits.sigmoid()  # [A, C]
    gap, label = gaps.abs().max(dim=1)
    by_teacher = gaps.gather(1, label[:, None]) >= 0
    box_logits = torch.where(by_teacher[:, :, None], taught.box_logits, own.box_logits)
    values = expected_value(box_logits, student.coder.bins)
    boxes = student.coder.decode(values, own.anchors)
    boxes = to_upright(boxes) if boxes.shape[1] == 5 else boxes
    rows = torch.arange(len(gap), device=gap.device)
    levels = (part.split(own.levels) for part in (rows, boxes, gap))
    return torch.cat([row[_best_apart(*others)] for row, *others in zip(*levels, strict=True)])


def _best_apart(boxes: Tensor, gap: Tensor) -> Tensor:
    """Return the first boxes that suppression by the gap keeps, without suppressing the others."""
    gap, found, values = gap.clone(), [], []
    for _ in range(min(NUM_GENERAL_INSTANCES, len(gap))):
        value, best = gap.max(dim=0)
        found.append(best)
        values.append(value)
        gap[box_iou(boxes[best][None], boxes)[0] > GENERAL_INSTANCE_NMS_IOU] = -1.0
        gap[best] = -1.0
    return torch.stack(found)[torch.stack(values) >= 0]


def _inside(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return whether the centre of each anchor lies in any box, [n]."""
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2)[:, None]
    return ((centres >= boxes[:, :2]) & (centres <= boxes[:, 2:])).all(dim=2).any(dim=1)
