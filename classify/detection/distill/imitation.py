"""The student's pyramid follows the teacher's where something is.

Sources: Dai et al. 2021, General Instance Distillation (arXiv 2103.02340) for ``gibox``; Wang et
al. 2019 (arXiv 1906.03609) for ``fine-grained``; boxes of the labels for ``gt``.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, nms

from classify.detection.boxes.coders import expected
from classify.detection.boxes.rotated import upright
from classify.detection.models.dense import DenseDetector, Seen
from classify.detection.models.dense_losses import Labelled, Said
from classify.detection.settings import ImitationSettings

GENERAL_INSTANCES, APART = 10, 0.3
FINE_GRAINED = 0.5  # of an object's best overlap


def imitation(
    own: Seen,
    taught: Seen,
    there: list[Labelled],
    student: DenseDetector,
    settings: ImitationSettings,
) -> Tensor:
    """Weighted mean squared difference of the maps at the chosen places; images share it evenly.

    Raises:
        RuntimeError: if the pyramids' widths differ.
    """
    chosen = torch.stack(
        [
            _places(own.one(k), taught.one(k), labelled, student, settings)
            for k, labelled in enumerate(there)
        ]
    )  # fmt: skip [B, places of all levels]
    sizes = [x.shape[2] * x.shape[3] for x in own.maps]
    total = chosen.new_zeros(len(chosen), dtype=torch.float32)
    for a, b, here in zip(own.maps, taught.maps, chosen.split(sizes, dim=1), strict=True):
        gap = F.mse_loss(a.float(), b.float(), reduction="none").mean(dim=1).flatten(1)  # [B, hw]
        total = total + (gap * here).sum(dim=1)
    return settings.weight * (total / chosen.sum(dim=1).clamp(min=1)).mean()


@torch.no_grad()
def _places(
    own: Said, taught: Said, there: Labelled, student: DenseDetector, settings: ImitationSettings
) -> Tensor:
    """Whether each place of the pyramid is imitated, [places of all levels]."""
    per_place = student.anchors_of_place
    boxes = upright(there.boxes) if there.boxes.shape[1] == 5 else there.boxes
    if settings.region == "gibox":
        return _inside(own.anchors[::per_place], general_instances(own, taught, student))
    if settings.region == "gt":
        return _inside(own.anchors[::per_place], boxes)
    if len(boxes) == 0:
        return torch.zeros(len(own.anchors) // per_place, dtype=torch.bool, device=boxes.device)
    overlap = box_iou(own.anchors, boxes)
    near = (overlap > FINE_GRAINED * overlap.amax(dim=0)).any(dim=1)
    return near.view(-1, per_place).any(dim=1)


def general_instances(own: Said, taught: Said, student: DenseDetector) -> Tensor:
    """Upright boxes [n, 4] that both judge most differently, as whoever is surer draws them."""
    scores = [said.scores.sigmoid().amax(dim=1) for said in (own, taught)]
    gap = (scores[0] - scores[1]).abs()
    gap, rows = gap.topk(min(len(gap), 1000))
    by_teacher = (scores[1] > scores[0])[rows]
    shapes = torch.where(by_teacher[:, None, None], taught.shapes[rows], own.shapes[rows])
    boxes = student.coder.decode(expected(shapes, student.coder.bins), own.anchors[rows])
    boxes = upright(boxes) if boxes.shape[1] == 5 else boxes
    return boxes[nms(boxes, gap, APART)[:GENERAL_INSTANCES]]


def _inside(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Whether the middle of an anchor lies in any box, [n]."""
    middles = ((anchors[:, :2] + anchors[:, 2:]) / 2)[:, None]
    return ((middles >= boxes[:, :2]) & (middles <= boxes[:, 2:])).all(dim=2).any(dim=1)
