"""Which anchors of an image are worth distilling, and how much."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou, distance_box_iou

from classify.detection.boxes.rotated import rotated_iou
from classify.detection.models.assignment import adaptive_threshold, nearest_anchors
from classify.detection.models.dense_losses import Labelled, Said

VALUABLE = 0.25  # of the adaptive threshold


class Region(NamedTuple):
    """Anchors of one image."""

    rows: Tensor  # their numbers, [n]
    weight: Tensor  # [n]


def valuable_region(said: Said, there: Labelled) -> Region:
    """Anchors that nearly belong to an object, weighted by their overlap with it.

    Source: Localization Distillation (arXiv 2102.12252, algorithm 1): 0.25 t <= DIoU < t with the
    threshold t of ATSS. An anchor near several objects goes to the one it overlaps most.
    """
    if len(there.boxes) == 0:
        return _nothing(said)
    overlap = box_iou(said.anchors, there.boxes)
    threshold = _threshold(said, there.boxes, overlap)
    distance = distance_box_iou(said.anchors, there.boxes)
    valuable = (distance >= VALUABLE * threshold) & (distance < threshold)
    return _where(valuable, overlap)


def rotated_region(said: Said, there: Labelled, ignores_angle: bool = False) -> Region:
    """Anchors of rotated objects, good and nearly good ones, weighted by their overlap.

    Source: rotated Localization Distillation (arXiv 2204.05957): overlap >= 0.25 t.

    Args:
        said: of a detector of rotated boxes.
        there: with rotated boxes.
        ignores_angle: as released: objects as if they lay upright with the sides they have.
    """
    if len(there.boxes) == 0:
        return _nothing(said)
    centre, half = there.boxes[:, :2], there.boxes[:, 2:4] / 2
    if ignores_angle:
        overlap = box_iou(said.anchors, torch.cat((centre - half, centre + half), dim=1))
    else:
        overlap = rotated_iou(_as_rotated(said.anchors), there.boxes)
    threshold = _threshold(said, torch.cat((centre, centre), dim=1), overlap)
    return _where(overlap >= VALUABLE * threshold.clamp(min=1e-6), overlap)


def _threshold(said: Said, boxes: Tensor, overlap: Tensor) -> Tensor:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return adaptive_threshold(overlap, nearest_anchors(said.anchors, said.levels, centres))


def _where(chosen: Tensor, overlap: Tensor) -> Region:
    """Anchors chosen for any object, [A, G], with their best overlap among those."""
    best = overlap.masked_fill(~chosen, -1.0).amax(dim=1)
    rows = (best >= 0).nonzero().flatten()
    return Region(rows, best[rows])


def _as_rotated(anchors: Tensor) -> Tensor:
    sides = anchors[:, 2:] - anchors[:, :2]
    middles = anchors[:, :2] + sides / 2
    return torch.cat((middles, sides, sides.new_zeros(len(sides), 1)), dim=1)


def _nothing(said: Said) -> Region:
    none = said.anchors.new_zeros(0)
    return Region(none.long(), none)
