"""Assignment of anchors to objects: adaptive training sample selection and maximum overlap."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou

CANDIDATES_PER_LEVEL = 9
POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
BACKGROUND, IGNORED = -1, -2


def nearest_anchors(anchors: Tensor, levels: Sequence[int], centres: Tensor) -> Tensor:
    """Return the anchors of each level whose centres lie nearest to each object.

    Args:
        anchors: [A, 4].
        levels: number of anchors of each level.
        centres: of the objects, [G, 2].

    Returns:
        Indices of anchors, [R, G].
    """
    middles = (anchors[:, :2] + anchors[:, 2:]) / 2
    candidates, start = [], 0
    for part in middles.split(list(levels)):
        count = min(CANDIDATES_PER_LEVEL, len(part))
        nearest = torch.cdist(part, centres).topk(count, dim=0, largest=False).indices
        candidates.append(nearest + start)
        start += len(part)
    return torch.cat(candidates)


def adaptive_threshold(overlap: Tensor, candidates: Tensor) -> Tensor:
    """Return mean plus standard deviation of the candidates' IoU with their object.

    Args:
        overlap: [A, G].
        candidates: [R, G].

    Returns:
        [G].
    """
    own = overlap.gather(0, candidates)
    return own.mean(dim=0) + own.std(dim=0)


def assign_atss(anchors: Tensor, levels: Sequence[int], boxes: Tensor) -> Tensor:
    """Assign by ATSS, adaptive training sample selection.

    Source: Zhang et al. 2020 (arXiv 1912.02424), algorithm 1.

    Args:
        anchors: [A, 4].
        levels: number of anchors of each level.
        boxes: of the objects, [G, 4]; G may be 0.

    Returns:
        The object of each anchor or BACKGROUND, [A].
    """
    assigned = torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    if len(boxes) == 0:
        return assigned
    overlap = box_iou(anchors, boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    candidates = nearest_anchors(anchors, levels, centres)
    middles = ((anchors[:, :2] + anchors[:, 2:]) / 2)[candidates]  # [R, G, 2]
    inside = ((middles > boxes[:, :2]) & (middles < boxes[:, 2:])).all(dim=2)
    enough = overlap.gather(0, candidates) >= adaptive_threshold(overlap, candidates)
    positive = torch.zeros_like(overlap, dtype=torch.bool).scatter_(0, candidates, inside & enough)
    best, index = overlap.masked_fill(~positive, -1.0).max(dim=1)
    return torch.where(best >= 0, index, assigned)


def assign_max_iou(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Assign anchors with an IoU of 0.5 and more, and each object's best anchor.

    Source: RetinaNet (arXiv 1708.02002), section 4.

    Args:
        anchors: [A, 4].
        boxes: of the objects, [G, 4]; G may be 0.

    Returns:
        The object of each anchor, BACKGROUND, or IGNORED, [A].
    """
    assigned = torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    if len(boxes) == 0:
        return assigned
    overlap = box_iou(anchors, boxes)
    best, index = overlap.max(dim=1)
    assigned[best >= NEGATIVE_IOU] = IGNORED
    highest = overlap.amax(dim=0)
    is_best = ((overlap == highest) & (highest > 0)).any(dim=1)
    return torch.where(is_best | (best >= POSITIVE_IOU), index, assigned)
