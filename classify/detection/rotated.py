"""Rotated boxes: conventions, corners, overlap and non-maximum suppression, batched in torch.

A rotated box is (cx, cy, w, h, angle): centre and sides in pixels, angle in radians by which the
side w is turned from the x axis toward the y axis (clockwise on a screen).
"""

import math

import torch
from torch import Tensor

PAIRS_AT_ONCE = 1 << 18
_EPSILON = 1e-12
_ON_THE_LINE = 1e-10  # sine of an angle
_RIGHT = math.pi / 2


def long_edge(boxes: Tensor) -> Tensor:
    """Name the same rectangles so that w >= h and the angle lies in [-pi/2, pi/2).

    Args:
        boxes: [N, 5], any angle.

    Returns:
        [N, 5].
    """
    return _named(boxes, boxes[:, 2] < boxes[:, 3], math.pi, -_RIGHT)


def opencv(boxes: Tensor) -> Tensor:
    """Name the same rectangles by OpenCV's rule (4.5.1 and later): the angle lies in (0, pi/2].

    Args:
        boxes: [N, 5], any angle.

    Returns:
        [N, 5].
    """
    quarter = -torch.remainder(-boxes[:, 4], math.pi) + math.pi  # in (0, pi]
    return _opened(_turned(boxes, quarter > _RIGHT + _EPSILON))


def _named(boxes: Tensor, turn: Tensor, period: float, lowest: float) -> Tensor:
    turned = _turned(boxes, turn)
    angle = torch.remainder(turned[:, 4] - lowest, period) + lowest
    return torch.cat((turned[:, :4], angle[:, None]), dim=1)


def _opened(boxes: Tensor) -> Tensor:
    angle = -torch.remainder(-boxes[:, 4], math.pi) + math.pi
    return torch.cat((boxes[:, :4], angle[:, None].clamp(max=_RIGHT)), dim=1)


def _turned(boxes: Tensor, turn: Tensor) -> Tensor:
    """Swap the sides of some boxes and turn those by a right angle: the same rectangles."""
    x, y, width, height, angle = boxes.unbind(1)
    sides = torch.where(turn, height, width), torch.where(turn, width, height)
    return torch.stack((x, y, *sides, torch.where(turn, angle + _RIGHT, angle)), dim=1)


def corners(boxes: Tensor) -> Tensor:
    """The corners of boxes, in order round them.

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


def from_corners(polygons: Tensor) -> Tensor:
    """The rectangle through four labelled corners: exact for rectangles, a mean for others.

    Args:
        polygons: [N, 4, 2], in order round the box, either way.

    Returns:
        [N, 5] with w >= h and the angle in [-pi/2, pi/2).
    """
    first = (polygons[:, 1] - polygons[:, 0] + polygons[:, 2] - polygons[:, 3]) / 2
    second = (polygons[:, 3] - polygons[:, 0] + polygons[:, 2] - polygons[:, 1]) / 2
    centre = polygons.mean(dim=1)
    angle = torch.atan2(first[:, 1], first[:, 0])
    sides = first.norm(dim=1), second.norm(dim=1)
    return long_edge(torch.stack((centre[:, 0], centre[:, 1], *sides, angle), dim=1))


def upright(boxes: Tensor) -> Tensor:
    """The upright boxes round rotated ones: [N, 5] -> [N, 4], left, top, right, bottom."""
    points = corners(boxes)
    return torch.cat((points.amin(dim=1), points.amax(dim=1)), dim=1)


def rotated_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of every pair; counted in float64, not differentiable.

    Args:
        first: [N, 5].
        second: [M, 5].

    Returns:
        [N, M] in [0, 1], of the precision of ``first``; 0 where a box has no area.
    """
    a, b = first.detach().double(), second.detach().double()
    near = _upright_overlap(upright(a), upright(b)).nonzero()  # few, as a rule
    result = first.new_zeros(len(a), len(b))
    for pairs in near.split(PAIRS_AT_ONCE):
        i, j = pairs.unbind(1)
        result[i, j] = paired_iou(a[i], b[j]).to(result.dtype)
    return result


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of box k with box k: two [P, 5] -> [P]."""
    shift = torch.cat((first[:, :2], first.new_zeros(len(first), 3)), dim=1)
    common = _area(_clipped(corners(first - shift), corners(second - shift)))
    areas = (first[:, 2] * first[:, 3]).abs(), (second[:, 2] * second[:, 3]).abs()
    union = areas[0] + areas[1] - common
    return torch.where(union > _EPSILON, common / union.clamp(min=_EPSILON), 0.0).clamp(0.0, 1.0)


def rotated_nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Greedy non-maximum suppression.

    Args:
        boxes: [N, 5].
        scores: [N].
        threshold: a box goes if a better one that stays overlaps it by more than this.

    Returns:
        The numbers of those that stay, best first, int64.
    """
    order = scores.argsort(descending=True, stable=True)
    overlaps = (rotated_iou(boxes[order], boxes[order]) > threshold).triu(1).cpu()
    gone = torch.zeros(len(order), dtype=torch.bool)
    for place in range(len(order)):
        if not gone[place]:
            gone |= overlaps[place]
    return order[~gone.to(order.device)]


def batched_rotated_nms(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """`rotated_nms` within each class [N], as one call: classes are moved apart."""
    if len(boxes) == 0:
        return boxes.new_zeros(0, dtype=torch.int64)
    reach = boxes[:, :2].abs().max() + boxes[:, 2:4].abs().max()
    moved = boxes.clone()
    moved[:, 0] += 4 * (reach + 1) * labels.to(boxes.dtype)
    return rotated_nms(moved, scores, threshold)


def _upright_overlap(a: Tensor, b: Tensor) -> Tensor:
    lower = torch.maximum(a[:, None, :2], b[None, :, :2])
    return (torch.minimum(a[:, None, 2:], b[None, :, 2:]) > lower).all(dim=2)


def _clipped(polygons: Tensor, windows: Tensor) -> Tensor:
    """Cut convex polygons [P, V, 2] to convex windows [P, 4, 2]: [P, V + 4, 2].

    Sutherland and Hodgman 1974, edge by edge of the window, all pairs at once. Polygons with fewer
    corners repeat one: an edge without length changes no area.
    """
    after = windows.roll(-1, dims=1)
    cross = _cross(after[:, 1] - windows[:, 1], windows[:, 1] - windows[:, 0])
    turn = torch.where(cross > 0, -1.0, 1.0).to(windows)  # which side of its edges is inside
    for edge in range(4):
        origin, along = windows[:, edge], after[:, edge] - windows[:, edge]
        offset = polygons - origin[:, None]
        depth = turn[:, None] * _cross(along[:, None], offset)
        # On the line is inside: rounding must not send the corners of equal boxes back and forth.
        size = along.norm(dim=1)[:, None] * (offset.norm(dim=2) + along.norm(dim=1)[:, None])
        polygons = _cut(polygons, torch.where(depth.abs() <= _ON_THE_LINE * size, 0.0, depth))
    return polygons


def _cut(polygons: Tensor, depth: Tensor) -> Tensor:
    """Keep the part of polygons [P, V, 2] where depth [P, V] >= 0: [P, V + 1, 2]."""
    following, next_depth = polygons.roll(-1, dims=1), depth.roll(-1, dims=1)
    inside = depth >= 0
    crosses = inside != (next_depth >= 0)
    span = torch.where(crosses, depth - next_depth, 1.0)
    meeting = polygons + (following - polygons) * (depth / span)[:, :, None]
    points = torch.stack((polygons, meeting), dim=2).flatten(1, 2)  # [P, 2 V, 2]
    kept = torch.stack((inside, crosses), dim=2).flatten(1, 2)
    most = polygons.shape[1] + 1
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    last = (kept.sum(dim=1, keepdim=True) - 1).clamp(min=0)
    place = torch.minimum(torch.arange(most, device=kept.device).expand_as(order), last)
    chosen = order.gather(1, place)[:, :, None].expand(-1, -1, 2)
    found = points.gather(1, chosen)
    return torch.where(kept.any(dim=1)[:, None, None], found, 0.0)


def _area(polygons: Tensor) -> Tensor:
    following = polygons.roll(-1, dims=1)
    return _cross(polygons, following).sum(dim=1).abs() / 2


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
