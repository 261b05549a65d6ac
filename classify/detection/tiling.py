"""Large images cut into overlapping patches, and what was found in them put together again."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from classify.detection.average_precision import Found
from classify.detection.boxes.rotated import batched_rotated_nms, upright


class Window(NamedTuple):
    """A patch of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int


def windows(width: int, height: int, size: int, overlap: int) -> list[Window]:
    """Cover an image with patches; the last of a row or column is moved back into the image.

    Args:
        width: of the image, in pixels.
        height: likewise.
        size: side of a patch; smaller images are one patch.
        overlap: of neighbours, >= 0 and < size.

    Raises:
        ValueError: for an overlap that does not fit.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"overlap must be in [0, {size}), got {overlap}")
    return [
        Window(left, top, min(size, width), min(size, height))
        for top in _starts(height, size, size - overlap)
        for left in _starts(width, size, size - overlap)
    ]


def _starts(length: int, size: int, stride: int) -> list[int]:
    if length <= size:
        return [0]
    return [*range(0, length - size, stride), length - size]


def share_in(window: Window, boxes: Tensor) -> Tensor:
    """The share [N] of each box [N, 4 or 5] that a patch shows, by the upright box round it."""
    lower, upper = _in_pixels_of(window, upright(boxes) if boxes.shape[1] == 5 else boxes)
    limit = boxes.new_tensor([window.width, window.height])
    sides = (torch.minimum(upper, limit) - lower.clamp(min=0)).clamp(min=0)
    return sides.prod(dim=1) / (upper - lower).prod(dim=1).clamp(min=1e-9)


def boxes_in(window: Window, boxes: Tensor) -> Tensor:
    """Boxes [N, 4 or 5] in a patch's own pixels; upright ones are cut at its border."""
    if boxes.shape[1] == 5:
        return torch.cat((boxes[:, :2] - _corner(window, boxes), boxes[:, 2:]), dim=1)
    lower, upper = _in_pixels_of(window, boxes)
    limit = boxes.new_tensor([window.width, window.height])
    return torch.cat((lower.clamp(min=0), torch.minimum(upper, limit)), dim=1)


def _in_pixels_of(window: Window, boxes: Tensor) -> tuple[Tensor, Tensor]:
    corner = _corner(window, boxes)
    return boxes[:, :2] - corner, boxes[:, 2:] - corner


def _corner(window: Window, boxes: Tensor) -> Tensor:
    return boxes.new_tensor([window.left, window.top])


def merged(parts: Sequence[tuple[Window, Found]], threshold: float) -> Found:
    """Put the detections of an image's patches together: moved into the image, then suppressed.

    Args:
        parts: each patch with what was found in it, in its own pixels; at least one.
        threshold: of IoU, within each class.

    Returns:
        Detections of the whole image, best first.
    """
    boxes = torch.cat([_moved(found.boxes, window) for window, found in parts])
    labels = torch.cat([found.labels for _, found in parts])
    scores = torch.cat([found.scores for _, found in parts])
    suppress = batched_rotated_nms if boxes.shape[1] == 5 else batched_nms
    kept = suppress(boxes, scores, labels, threshold)
    return Found(boxes[kept], labels[kept], scores[kept])


def _moved(boxes: Tensor, window: Window) -> Tensor:
    shift = boxes.new_zeros(boxes.shape[1])
    shift[0], shift[1] = window.left, window.top
    if boxes.shape[1] == 4:
        shift[2], shift[3] = window.left, window.top
    return boxes + shift
