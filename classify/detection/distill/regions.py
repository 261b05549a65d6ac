"""Regions of localization distillation: the anchors of an image to distill, with weights."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou, distance_box_iou

from classify.detection.boxes.rotated import rotated_iou
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
    if len(targets.boxes) == 0:
        return _empty_region(predictions)
    overlap = box_iou(predictions.anchors, targets.boxes)
    threshold = _threshold(predictions, targets.boxes, overlap)
    distance = distance_box_iou(predictions.anchors, targets.boxes)
    valuable = (distance >= VALUABLE * threshold) & (distance < threshold)
    return _select(valuable, overlap)


def rotated_region(
    predictions: ImagePredictions, targets: ImageTargets, ignores_angle: bool = False
) -> Region:
    """Return the region of rotated objects: positive and valuable anchors, weighted by IoU.

    Source: rotated Localization Distillation (arXiv 2204.05957): IoU >= 0.25 t.

    Args:
        predictions: of a detector of rotated boxes.
        targets: rotated boxes.
        ignores_angle: as released: IoU with upright boxes of the objects' centres and sides.
    """
    if len(targets.boxes) == 0:
        return _empty_region(predictions)
    centre, half = targets.boxes[:, :2], targets.boxes[:, 2:4] / 2
    if ignores_angle:
        overlap = box_iou(predictions.anchors, torch.cat((centre - half, centre + half), dim=1))
    else:
        overlap = rotated_iou(_as_rotated(predictions.anchors), targets.boxes)
    threshold = _threshold(predictions, torch.cat((centre, centre), dim=1), overlap)
    return _select(overlap >= VALUABLE * threshold.clamp(min=1e-6), overlap)


def _threshold(predictions: ImagePredictions, boxes: Tensor, overlap: Tensor) -> Tensor:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    candidates = nearest_anchors(predictions.anchors, predictions.levels, centres)
    return adaptive_threshold(overlap, candidates)


def _select(chosen: Tensor, overlap: Tensor) -> Region:
    """Return the anchors chosen for any object, [A, G], with their largest IoU among those."""
    best = overlap.masked_fill(~chosen, -1.0).amax(dim=1)
    rows = (best >= 0).nonzero().flatten()
    return Region(rows, best[rows])


def _as_rotated(anchors: Tensor) -> Tensor:
    sides = anchors[:, 2:] - anchors[:, :2]
    middles = anchors[:, :2] + sides / 2
    return torch.cat((middles, sides, sides.new_zeros(len(sides), 1)), dim=1)


def _empty_region(predictions: ImagePredictions) -> Region:
    none = predictions.anchors.new_zeros(0)
    return Region(none.long(), none)
