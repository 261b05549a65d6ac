"""Labelled outlines of objects: overlap with rotated boxes, and the box that fits one best."""

import torch
from torch import Tensor

from classify.detection.boxes.rotated import PAIRS_PER_CHUNK, to_long_edge

_EPSILON = 1e-12
_TINY = 1e-300


def fit_rectangles(polygons: Tensor) -> Tensor:
    """Return the rotated box of each quadrilateral: exact for rectangles, close for others.

    A box is tried along each edge. Its sides lie midway between the two outermost corners on
    either side, so that they average opposite edges. The one with the largest IoU is taken.

    Args:
        polygons: [N, 4, 2], corners in order round the object, either way.

    Returns:
        [N, 5] with w >= h and the angle in [-pi/2, pi/2).
    """
    edges = polygons.roll(-1, dims=1) - polygons
    angles = torch.atan2(edges[..., 1], edges[..., 0])  # [N, 4]
    cosine, sine = angles.cos()[..., None], angles.sin()[..., None]
    x, y = polygons[:, None, :, 0], polygons[:, None, :, 1]
    left, right = _middle_of_sides(x * cosine + y * sine)
    top, bottom = _middle_of_sides(y * cosine - x * sine)
    cosine, sine = cosine[..., 0], sine[..., 0]
    along, across = (left + right) / 2, (top + bottom) / 2
    centre = along * cosine - across * sine, along * sine + across * cosine
    tried = torch.stack((*centre, right - left, bottom - top, angles), dim=2)  # [N, 4, 5]
    best = paired_polygon_iou(tried, polygons[:, None]).argmax(dim=1)
    return to_long_edge(tried[torch.arange(len(tried), device=best.device), best])


def _middle_of_sides(places: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of the two least and of the two largest of four places [..., 4]."""
    ordered = places.sort(dim=-1).values
    return ordered[..., :2].mean(dim=-1), ordered[..., 2:].mean(dim=-1)


def polygon_iou(boxes: Tensor, polygons: Tensor) -> Tensor:
    """Return the intersection over union of every pair; in float64, not differentiable.

    Args:
        boxes: [N, 5], rotated.
        polygons: [M, P, 2], corners in order, either way; none crosses itself.

    Returns:
        [N, M] in [0, 1], with the dtype of ``boxes``; 0 where there is no area.
    """
    result = boxes.new_zeros(len(boxes), len(polygons))
    centres = polygons.mean(dim=1)
    radii = (polygons - centres[:, None]).norm(dim=2).amax(dim=1)
    reach = boxes[:, 2:4].norm(dim=1)[:, None] / 2 + radii
    may_overlap = ((boxes[:, None, :2] - centres).norm(dim=2) <= reach).nonzero()
    for pairs in may_overlap.split(PAIRS_PER_CHUNK):
        i, j = pairs.unbind(1)
        result[i, j] = paired_polygon_iou(boxes[i], polygons[j]).to(result.dtype)
    return result


def paired_polygon_iou(boxes: Tensor, polygons: Tensor) -> Tensor:
    """Return the IoU of box k with polygon k: [..., 5] and [..., P, 2] -> [...], float64."""
    boxes, polygons = boxes.detach().double(), polygons.detach().double()
    intersection = _intersection_area(boxes, polygons)
    union = boxes[..., 2:4].prod(dim=-1).abs() + polygon_area(polygons) - intersection
    iou = torch.where(union > _EPSILON, intersection / union.clamp(min=_EPSILON), 0.0)
    return iou.clamp(0.0, 1.0)


def polygon_area(polygons: Tensor) -> Tensor:
    """Return the area of polygons that do not cross themselves: [..., P, 2] -> [...]."""
    x, y = (polygons - polygons[..., :1, :]).unbind(-1)  # near the origin: less rounding
    return (x * y.roll(-1, dims=-1) - y * x.roll(-1, dims=-1)).sum(dim=-1).abs() / 2


def _intersection_area(boxes: Tensor, polygons: Tensor) -> Tensor:
    """Return the area of polygons inside boxes, of any broadcastable shapes.

    In the box's frame let F(x, y) be y, limited to the box, where x is inside it, and 0 elsewhere.
    Its derivative by y is 1 inside the box and 0 outside. So by Green's theorem the area is the
    integral of F dx round the polygon, which need not be convex.
    """
    cx, cy, width, height, angle = boxes[..., None].unbind(-2)
    x, y = polygons[..., 0] - cx, polygons[..., 1] - cy
    cosine, sine = angle.cos(), angle.sin()
    x, y = x * cosine + y * sine, y * cosine - x * sine  # [..., P]
    dx, dy = x.roll(-1, dims=-1) - x, y.roll(-1, dims=-1) - y
    half_width, half_height = width.abs() / 2, height.abs() / 2
    enters, leaves = _crossings(x, dx, half_width)
    start = enters.clamp(0, 1)
    stop = torch.maximum(leaves.clamp(0, 1), start)
    below, above = (
        torch.minimum(torch.maximum(t, start), stop) for t in _crossings(y, dy, half_height)
    )
    inside = (above - below) * (y + dy * (above + below) / 2)
    outside = half_height * ((stop - above) - (below - start))
    integral = inside + torch.where(dy < 0, -outside, outside)
    return (dx * integral).sum(dim=-1).abs()


def _crossings(place: Tensor, step: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Return the t where place + t * step enters and leaves [-half, half]."""
    inverse = 1 / torch.where(step == 0, _TINY, step)
    centre, reach = -place * inverse, half * inverse.abs()
    return centre - reach, centre + reach
