"""Overlapping tiles of large images: their grid, the boxes in them, the merging of detections."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from classify.detection.average_precision import Detections
from classify.detection.boxes.rotated import batched_rotated_nms, to_upright


class Tile(NamedTuple):
    """A rectangle of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int


def tile_grid(width: int, height: int, size: int, overlap: int) -> list[Tile]:
    """Return tiles that cover an image; the last of a row or column is moved back into it.

    Args:
        width: of the image, in pixels.
        height: of the image, in pixels.
        size: side of a tile in pixels; a smaller image is one tile.
        overlap: of neighbouring tiles in pixels, >= 0 and < size.

    Raises:
        ValueError: for an overlap out of range.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap must be in [0, {size}), got {overlap}")
    return [
        Tile(left, top, min(size, width), min(size, height))
        for top in _starts(height, size, size - overlap)
        for left in _starts(width, size, size - overlap)
    ]


def _starts(length: int, size: int, stride: int) -> list[int]:
    if length <= size:
        return [0]
    return [*range(0, length - size, stride), length - size]


def visible_fraction(tile: Tile, boxes: Tensor) -> Tensor:
    """Return which share [N] of each box [N, 4 or 5] lies in a tile, by its upright box."""
    lower, upper = _relative_to(tile, to_upright(boxes) if boxes.shape[1] == 5 else boxes)
    limit = boxes.new_tensor([tile.width, tile.height])
    sides = (torch.minimum(upper, limit) - lower.clamp(min=0)).clamp(min=0)
    return sides.prod(dim=1) / (upper - lower).prod(dim=1).clamp(min=1e-9)


def boxes_in_tile(tile: Tile, boxes: Tensor) -> Tensor:
    """Return boxes [N, 4 or 5] in pixels of a tile; upright ones are clipped to its border."""
    if boxes.shape[1] == 5:
        return torch.cat((boxes[:, :2] - _origin(tile, boxes), boxes[:, 2:]), dim=1)
    lower, upper = _relative_to(tile, boxes)
    limit = boxes.new_tensor([tile.width, tile.height])
    return torch.cat((lower.clamp(min=0), torch.minimum(upper, limit)), dim=1)


def _relative_to(tile: Tile, boxes: Tensor) -> tuple[Tensor, Tensor]:
    origin = _origin(tile, boxes)
    return boxes[:, :2] - origin, boxes[:, 2:] - origin


def _origin(tile: Tile, boxes: Tensor) -> Tensor:
    return boxes.new_tensor([tile.left, tile.top])


def merge_detections(parts: Sequence[tuple[Tile, Detections]], threshold: float) -> Detections:
    """Merge the detections of an image's tiles by non-maximum suppression over all of them.

    Args:
        parts: each tile with its detections in pixels of the tile; at least one.
        threshold: IoU above which the lower score goes, within each class.

    Returns:
        Detections in pixels of the image, by descending score.
    """
    boxes = torch.cat([_moved(detections.boxes, tile) for tile, detections in parts])
    labels = torch.cat([detections.labels for _, detections in parts])
    scores = torch.cat([detections.scores for _, detections in parts])
    suppress = batched_rotated_nms if boxes.shape[1] == 5 else batched_nms
    kept = suppress(boxes, scores, labels, threshold)
    return Detections(boxes[kept], labels[kept], scores[kept])


def _moved(boxes: Tensor, tile: Tile) -> Tensor:
    shift = boxes.new_zeros(boxes.shape[1])
    shift[0], shift[1] = tile.left, tile.top
    if boxes.shape[1] == 4:
        shift[2], shift[3] = tile.left, tile.top
    return boxes + shift
