"""Regions of localization distillation: the anchors of an image to distill, with weights."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import distance_box_iou_loss

from classify.detection.boxes.rotated import iou_at_most, paired_iou, to_opencv, to_upright
from classify.detection.boxes.upright import (
    largest,
    overlapping_pairs,
    overlaps_of,
    paired_box_iou,
    paired_intersection,
)
from classify.detection.models.assignment import adaptive_threshold, nearest_anchors
from classify.detection.models.dense_losses import ImagePredictions, ImageTargets

VALUABLE = 0.25  # lower bound of the region, a share of the adaptive threshold


class Region(NamedTuple):
    """Anchors of one image."""

    rows: Tensor  # indices of anchors, [n]
    weight: Tensor  # [n]


def valuable_region(predictions: ImagePredictions, targets: ImageTargets) -> Region:
    """Return the valuable localization region: anchors just below the threshold of ATSS.

    Source: Localization Distillation (arXiv 2102.12252, algorithm 1): 0.25 t <= DIoU < t with the
    threshold t of ATSS, weighted by IoU. An anchor near several objects takes the largest IoU.
    """
    anchors, boxes = predictions.anchors, targets.boxes
    if len(boxes) == 0:
        return _empty_region(predictions)
    threshold = adaptive_threshold(paired_box_iou(anchors[_candidates(predictions, boxes)], boxes))
    # DIoU is at most IoU: only anchors that overlap an object can reach its threshold.
    rows, objects, overlap = overlaps_of(anchors, boxes)
    distance = 1 - distance_box_iou_loss(anchors[rows], boxes[objects])
    limit = threshold[objects]
    valuable = (distance >= VALUABLE * limit) & (distance < limit)
    return _best_of(rows[valuable], overlap[valuable], predictions)


def rotated_region(
    predictions: ImagePredictions, targets: ImageTargets, ignores_angle: bool = False
) -> Region:
    """Return the region of rotated objects: positive and valuable anchors, weighted by IoU.

    Source: rotated Localization Distillation (arXiv 2204.05957): IoU >= 0.25 t.

    Args:
        predictions: of a detector of rotated boxes.
        targets: rotated boxes.
        ignores_angle: as released: IoU with upright boxes of the objects' centres and sides, w
            across and h down, as OpenCV names the sides.
    """
    if len(targets.boxes) == 0:
        return _empty_region(predictions)
    region = _flat_region if ignores_angle else _turned_region
    return region(predictions, targets.boxes)


def _flat_region(predictions: ImagePredictions, boxes: Tensor) -> Region:
    """Return the region of boxes as if they had no angle."""
    anchors, named = predictions.anchors, to_opencv(boxes)
    centre, half = named[:, :2], named[:, 2:4] / 2
    upright = torch.cat((centre - half, centre + half), dim=1)
    limit = _lowest(paired_box_iou(anchors[_candidates(predictions, upright)], upright))
    rows, objects, overlap = overlaps_of(anchors, upright)
    near = overlap >= limit[objects]
    return _best_of(rows[near], overlap[near], predictions)


def _turned_region(predictions: ImagePredictions, boxes: Tensor) -> Region:
    """Return the region by the exact overlap of rotated boxes."""
    anchors, upright = predictions.anchors, to_upright(boxes)
    turned, areas = _as_rotated(anchors), boxes[:, 2:4].prod(dim=1)
    limit = _lowest(paired_iou(turned[_candidates(predictions, upright)], boxes).to(boxes.dtype))
    found = []
    for i, j in overlapping_pairs(anchors, upright):
        shared = paired_intersection(anchors[i], upright[j])
        near = iou_at_most(shared, turned[i, 2:4].prod(dim=1), areas[j]) >= limit[j]
        i, j = i[near], j[near]
        overlap = paired_iou(turned[i], boxes[j]).to(boxes.dtype)
        found.append((i[overlap >= limit[j]], overlap[overlap >= limit[j]]))
    rows, overlap = (torch.cat(part) for part in zip(*found, strict=True))
    return _best_of(rows, overlap, predictions)


def _candidates(predictions: ImagePredictions, boxes: Tensor) -> Tensor:
    """Return the anchors nearest to the centres of upright boxes [G, 4]: [R, G]."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return nearest_anchors(predictions.anchors, predictions.levels, centres)


def _lowest(overlap: Tensor) -> Tensor:
    """Return the lowest IoU of a region from that of the candidates [R, G]: [G], above 0."""
    return VALUABLE * adaptive_threshold(overlap).clamp(min=1e-6)


def _best_of(rows: Tensor, overlap: Tensor, predictions: ImagePredictions) -> Region:
    """Return the anchors of pairs, each once, with the largest IoU."""
    best = largest(overlap, rows, len(predictions.anchors))
    chosen = (best >= 0).nonzero().flatten()
    return Region(chosen, best[chosen])


def _as_rotated(anchors: Tensor) -> Tensor:
    sides = anchors[:, 2:] - anchors[:, :2]
    middles = anchors[:, :2] + sides / 2
    return torch.cat((middles, sides, sides.new_zeros(len(sides), 1)), dim=1)


def _empty_region(predictions: ImagePredictions) -> Region:
    none = predictions.anchors.new_zeros(0)
    return Region(none.long(), none)
