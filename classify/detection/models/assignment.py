"""Which anchor learns which object."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou

NEAREST = 9
ENOUGH, TOO_LITTLE = 0.5, 0.4  # overlap
BACKGROUND, NEITHER = -1, -2


def nearest_anchors(anchors: Tensor, levels: Sequence[int], centres: Tensor) -> Tensor:
    """The anchors of each level whose middles lie nearest to objects.

    Args:
        anchors: [A, 4].
        levels: how many of them each level has.
        centres: of the objects, [G, 2].

    Returns:
        Their numbers, [R, G].
    """
    middles = (anchors[:, :2] + anchors[:, 2:]) / 2
    found, start = [], 0
    for part in middles.split(list(levels)):
        count = min(NEAREST, len(part))
        near = torch.cdist(part, centres).topk(count, dim=0, largest=False).indices
        found.append(near + start)
        start += len(part)
    return torch.cat(found)


def adaptive_threshold(overlap: Tensor, candidates: Tensor) -> Tensor:
    """Mean plus deviation of the candidates' overlap with their object.

    Args:
        overlap: [A, G].
        candidates: [R, G].

    Returns:
        [G].
    """
    own = overlap.gather(0, candidates)
    return own.mean(dim=0) + own.std(dim=0)


def atss(anchors: Tensor, levels: Sequence[int], boxes: Tensor) -> Tensor:
    """Adaptive training sample selection (Zhang et al. 2020, arXiv 1912.02424, algorithm 1).

    Args:
        anchors: [A, 4].
        levels: how many of them each level has.
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
    is_own = torch.zeros_like(overlap, dtype=torch.bool).scatter_(0, candidates, inside & enough)
    best, which = overlap.masked_fill(~is_own, -1.0).max(dim=1)
    return torch.where(best >= 0, which, assigned)


def by_overlap(anchors: Tensor, boxes: Tensor) -> Tensor:
    """RetinaNet's rule (arXiv 1708.02002, section 4): 0.5 and more, or an object's best anchor.

    Args:
        anchors: [A, 4].
        boxes: of the objects, [G, 4]; G may be 0.

    Returns:
        The object of each anchor, BACKGROUND, or NEITHER, [A].
    """
    assigned = torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    if len(boxes) == 0:
        return assigned
    overlap = box_iou(anchors, boxes)
    best, which = overlap.max(dim=1)
    assigned[best >= TOO_LITTLE] = NEITHER
    highest = overlap.amax(dim=0)
    is_best = ((overlap == highest) & (highest > 0)).any(dim=1)
    return torch.where(is_best | (best >= ENOUGH), which, assigned)
