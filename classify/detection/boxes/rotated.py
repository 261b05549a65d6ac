"""Rotated boxes: conventions, corners, overlap and non-maximum suppression, batched in torch.

A rotated box is (cx, cy, w, h, angle): centre and sides in pixels, angle in radians by which the
side w is turned from the x axis toward the y axis (clockwise on a screen).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from classify.detection.boxes.suppression import greedy_suppression
from classify.detection.boxes.upright import paired_intersection

PAIRS_PER_CHUNK = 1 << 14  # fits a processor's cache
_EPSILON = 1e-12
_BOUND_SLACK = 1e-6  # share by which a bound is larger than computed
_EDGE_TOLERANCE = 1e-10  # share of the sides
_TINY = 1e-300
_RIGHT_ANGLE = math.pi / 2
_Columns = Sequence[Tensor]  # cx, cy, w, h, angle


def to_long_edge(boxes: Tensor) -> Tensor:
    """Convert to the long-edge convention: w >= h, the angle in [-pi/2, pi/2).

    Args:
        boxes: [N, 5], any angle.

    Returns:
        [N, 5].
    """
    turned = _with_swapped_sides(boxes, boxes[:, 2] < boxes[:, 3])
    angle = torch.remainder(turned[:, 4] + _RIGHT_ANGLE, math.pi) - _RIGHT_ANGLE
    return torch.cat((turned[:, :4], angle[:, None]), dim=1)


def to_opencv(boxes: Tensor) -> Tensor:
    """Convert to OpenCV's convention (4.5.1 and later): the angle in (0, pi/2].

    Args:
        boxes: [N, 5], any angle.

    Returns:
        [N, 5].
    """
    turned = _with_swapped_sides(boxes, _direction(boxes[:, 4]) > _RIGHT_ANGLE + _EPSILON)
    angle = _direction(turned[:, 4]).clamp(max=_RIGHT_ANGLE)
    return torch.cat((turned[:, :4], angle[:, None]), dim=1)


def _direction(angle: Tensor) -> Tensor:
    """Return the angle of the same undirected line, in (0, pi]."""
    return math.pi - torch.remainder(-angle, math.pi)


def _with_swapped_sides(boxes: Tensor, turn: Tensor) -> Tensor:
    """Swap w and h of the boxes chosen by ``turn`` [N] and add a right angle: equal rectangles."""
    x, y, width, height, angle = boxes.unbind(1)
    sides = torch.where(turn, height, width), torch.where(turn, width, height)
    return torch.stack((x, y, *sides, torch.where(turn, angle + _RIGHT_ANGLE, angle)), dim=1)


def to_corners(boxes: Tensor) -> Tensor:
    """Return the corners of rotated boxes, in order round them.

    Args:
        boxes: [N, 5].

    Returns:
        [N, 4, 2], (x, y).
    """
    x, y, width, height, angle = boxes.unbind(1)
    cosine, sine = angle.cos(), angle.sin()
    along = torch.stack((cosine, sine), dim=1) * width[:, None] / 2  # [N, 2]
    across = torch.stack((-sine, cosine), dim=1) * height[:, None] / 2
    centre = torch.stack((x, y), dim=1)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return torch.stack([centre + a * along + b * across for a, b in signs], dim=1)


def to_upright(boxes: Tensor) -> Tensor:
    """Return the upright boxes that enclose rotated ones: [N, 5] -> [N, 4] left to bottom."""
    points = to_corners(boxes)
    return torch.cat((points.amin(dim=1), points.amax(dim=1)), dim=1)


def rotated_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of every pair; in float64, not differentiable.

    Args:
        first: [N, 5].
        second: [M, 5].

    Returns:
        [N, M] in [0, 1], with the dtype of ``first``; 0 where a box has no area.
    """
    result = first.new_zeros(len(first), len(second))
    radii = [boxes[:, 2:4].norm(dim=1) / 2 for boxes in (first, second)]
    # By matrix products distances would be rounded to the size of the coordinates.
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(first[:, :2], second[:, :2], compute_mode=exact)
    may_overlap = (distances <= radii[0][:, None] + radii[1]).nonzero()  # usually few
    for pairs in may_overlap.split(PAIRS_PER_CHUNK):
        i, j = pairs.unbind(1)
        result[i, j] = paired_iou(first[i], second[j]).to(result.dtype)
    return result


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of box k with box k: [..., 5] and [..., 5] -> [...], float64."""
    a, b = first.detach().double().unbind(-1), second.detach().double().unbind(-1)
    intersection = _intersection_area(a, b)
    union = (a[2] * a[3]).abs() + (b[2] * b[3]).abs() - intersection
    iou = torch.where(union > _EPSILON, intersection / union.clamp(min=_EPSILON), 0.0)
    return iou.clamp(0.0, 1.0)


def rotated_nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the boxes that greedy non-maximum suppression keeps.

    Args:
        boxes: [N, 5].
        scores: [N].
        threshold: a box is suppressed if a kept one of higher score has a larger IoU with it. Of
            equal scores the first counts as higher.

    Returns:
        Indices of the kept boxes by descending score, int64.
    """
    return batched_rotated_nms(
        boxes, scores, torch.zeros_like(scores, dtype=torch.int64), threshold
    )


def batched_rotated_nms(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Return `rotated_nms` within each class [N], in one call."""
    order = scores.argsort(descending=True, stable=True)
    kept = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for label in labels.unique():
        own = order[labels[order] == label]
        kept[own[_suppress(boxes[own], threshold)]] = True
    return order[kept[order]]


def _suppress(boxes: Tensor, threshold: float) -> Tensor:
    """Return which boxes [N, 5], sorted by descending score, are kept: indices, ascending."""
    exact = boxes.detach().double()
    enclosing, areas = to_upright(exact), (exact[:, 2] * exact[:, 3]).abs()

    def suppresses(better: Tensor, worse: Tensor) -> Tensor:
        shared = paired_intersection(enclosing[better], enclosing[worse])
        result = iou_at_most(shared, areas[better], areas[worse]) > threshold
        i, j = better[result], worse[result]
        result[result.clone()] = paired_iou(boxes[i], boxes[j]).to(boxes.dtype) > threshold
        return result

    return greedy_suppression(enclosing, suppresses)


def iou_at_most(shared: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return a bound of the IoU of boxes from what upright boxes round them have in common.

    Args:
        shared: area that the upright boxes have in common, [P].
        first: areas of the boxes, [P].
        second: likewise.

    Returns:
        [P], rounded up.
    """
    most = torch.minimum(torch.minimum(shared, first), second)
    return (most / (first + second - most).clamp(min=_EPSILON)) * (1 + _BOUND_SLACK)


def _intersection_area(first: _Columns, second: _Columns) -> Tensor:
    """Return the intersection area of rectangles, of any broadcastable shapes.

    The border of the intersection is the part of each rectangle's edges inside the other. By
    Green's theorem the area is half the sum of cross(middle, direction) along those parts. The
    second rectangle's frame is used: its centre is the origin, its sides are the axes.
    """
    ax, ay, a_angle = first[0] - second[0], first[1] - second[1], first[4] - second[4]
    a_half, b_half = ((box[2].abs() / 2, box[3].abs() / 2) for box in (first, second))
    cosine, sine = second[4].cos(), second[4].sin()
    x, y = ax * cosine + ay * sine, ay * cosine - ax * sine  # the first's centre
    cosine, sine = a_angle.cos(), a_angle.sin()
    # Coinciding edges are counted for the first rectangle only, not twice.
    slack = _EDGE_TOLERANCE * (a_half[0] + a_half[1] + b_half[0] + b_half[1])
    window = b_half[0] + slack, b_half[1] + slack
    doubled = torch.zeros((), dtype=x.dtype, device=x.device)
    for half, other, turn in ((*a_half, 0), (*a_half[::-1], 1)):
        across, down = _rotated(half, cosine, sine, turn)
        aside = _rotated(other, cosine, sine, 1 - turn)
        inside = [
            _length_inside((x + sign * aside[0], y + sign * aside[1]), (across, down), window)
            for sign in (-1, 1)
        ]
        # The edges run round the rectangle: opposite edges have opposite directions.
        centre, own = x * down - y * across, a_half[0] * a_half[1]
        before, behind = inside if turn == 0 else inside[::-1]
        doubled = doubled + before * (own + centre) + behind * (own - centre)
    x, y = -x * cosine - y * sine, x * sine - y * cosine  # the second's centre in the first's frame
    window = a_half[0] - slack, a_half[1] - slack
    for half, other, turn in ((*b_half, 0), (*b_half[::-1], 1)):
        along = _rotated(half, cosine, -sine, turn)
        aside = _rotated(other, cosine, -sine, 1 - turn)
        for sign in (-1, 1):
            middle = x + sign * aside[0], y + sign * aside[1]
            doubled = doubled + _length_inside(middle, along, window) * (b_half[0] * b_half[1])
    return doubled / 2


def _rotated(half: Tensor, cosine: Tensor, sine: Tensor, turn: int) -> tuple[Tensor, Tensor]:
    """Return half a side as a vector; turn: 0 for the side w, 1 for h."""
    return (half * cosine, half * sine) if turn == 0 else (-half * sine, half * cosine)


def _length_inside(
    middle: tuple[Tensor, Tensor], along: tuple[Tensor, Tensor], window: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the length of t in [-1, 1] with middle + t * along inside the window: 0 to 2."""
    low, high = middle[0].new_tensor(-1.0), middle[0].new_tensor(1.0)
    for place, step, half in zip(middle, along, window, strict=True):
        inverse = 1 / torch.where(step == 0, _TINY, step)
        centre, reach = -place * inverse, half * inverse.abs()
        low = torch.maximum(centre - reach, low)
        high = torch.minimum(centre + reach, high)
    return (high - low).clamp(min=0)
