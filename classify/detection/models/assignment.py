"""Assignment of anchors to objects: adaptive training sample selection and maximum overlap."""

from collections.abc import Sequence

import torch
from torch import Tensor

from classify.detection.boxes.upright import largest, lowest_index, overlaps_of, paired_box_iou

CANDIDATES_PER_LEVEL = 9
DISTANCES_AT_ONCE = 1 << 22  # of locations from objects
POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
BACKGROUND, IGNORED = -1, -2


def nearest_anchors(anchors: Tensor, levels: Sequence[int], centres: Tensor) -> Tensor:
    """Return the anchors of each level whose centres lie nearest to each object.

    Args:
        anchors: [A, 4]; those of a location follow each other, equally many of each.
        levels: number of anchors of each level.
        centres: of the objects, [G, 2].

    Returns:
        Indices of anchors, [R, G].
    """
    candidates, start = [], 0
    for part in anchors.split(list(levels)):
        candidates.append(start + _nearest_of_level((part[:, :2] + part[:, 2:]) / 2, centres))
        start += len(part)
    return torch.cat(candidates)


def _nearest_of_level(middles: Tensor, centres: Tensor) -> Tensor:
    """Return the anchors nearest to each object, [at most CANDIDATES_PER_LEVEL, G].

    Only one distance of each location is computed: its anchors have one centre.
    """
    same = (middles == middles[0]).all(dim=1)
    per_location = int(same.long().cumprod(dim=0).sum())
    places = middles[::per_location]
    wanted = min(CANDIDATES_PER_LEVEL, len(middles))
    count = -(-wanted // per_location)  # of locations
    # By matrix products distances would be rounded to the size of the coordinates.
    exact = "donot_use_mm_for_euclid_dist"
    nearest = [
        torch.cdist(some, places, compute_mode=exact).topk(count, dim=1, largest=False).indices
        for some in centres.split(max(DISTANCES_AT_ONCE // len(places), 1))
    ]
    members = torch.arange(per_location, device=middles.device)
    found = torch.cat(nearest)[:, :, None] * per_location + members
    return found.flatten(1)[:, :wanted].T


def adaptive_threshold(overlap: Tensor) -> Tensor:
    """Return mean plus standard deviation of the candidates' IoU with their object.

    Args:
        overlap: of R candidates of each object, [R, G].

    Returns:
        [G].
    """
    return overlap.mean(dim=0) + overlap.std(dim=0)


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
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    candidates = nearest_anchors(anchors, levels, centres)
    near = anchors[candidates]  # [R, G, 4]
    overlap = paired_box_iou(near, boxes)
    middles = (near[..., :2] + near[..., 2:]) / 2
    inside = ((middles > boxes[:, :2]) & (middles < boxes[:, 2:])).all(dim=2)
    positive = inside & (overlap >= adaptive_threshold(overlap))
    objects = positive.nonzero()[:, 1]
    _, index = best_objects(candidates[positive], objects, overlap[positive], len(anchors))
    return torch.where(index >= 0, index, assigned)


def best_objects(
    anchors: Tensor, objects: Tensor, overlap: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Return each anchor's largest overlap with an object, and the object.

    Args:
        anchors: of each pair, [P].
        objects: likewise.
        overlap: likewise, >= 0.
        count: A, number of anchors.

    Returns:
        [A] and [A]: -1 and BACKGROUND without a pair; of equal overlaps the first object's.
    """
    best = largest(overlap, anchors, count)
    is_best = overlap == best[anchors]
    index = lowest_index(objects[is_best], anchors[is_best], count)
    return best, torch.where(best >= 0, index, BACKGROUND)


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
    rows, objects, overlap = overlaps_of(anchors, boxes)
    best, index = best_objects(rows, objects, overlap, len(anchors))
    assigned[best >= NEGATIVE_IOU] = IGNORED
    positive = best >= POSITIVE_IOU
    positive[rows[overlap == largest(overlap, objects, len(boxes))[objects]]] = True
    return torch.where(positive, index, assigned)
