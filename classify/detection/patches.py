"""Large images cut into overlapping patches, and what was found in them put together again."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from classify.detection.average_precision import Found
from classify.detection.rotated import batched_rotated_nms, upright

MOSTLY_INSIDE = 0.5


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


def boxes_in(window: Window, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The boxes that a patch shows, in its own pixels.

    Args:
        window: the patch.
        boxes: [N, 4] or [N, 5] in pixels of the image.

    Returns:
        The boxes [K, 4 or 5]; which rows they were [K]; and whether each is cut so much, half of
        its upright box or more outside, that it should count as difficult [K]. Upright boxes are
        cut at the border, rotated ones kept whole.
    """
    corner = boxes.new_tensor([window.left, window.top])
    around = upright(boxes) if boxes.shape[1] == 5 else boxes
    lower = around[:, :2] - corner
    upper = around[:, 2:] - corner
    limit = boxes.new_tensor([window.width, window.height])
    inner_lower, inner_upper = lower.clamp(min=0), torch.minimum(upper, limit)
    sides = (inner_upper - inner_lower).clamp(min=0)
    area = (upper - lower).prod(dim=1).clamp(min=1e-9)
    share = sides.prod(dim=1) / area
    rows = (share > 0).nonzero().flatten()
    if boxes.shape[1] == 5:
        moved = torch.cat((boxes[:, :2] - corner, boxes[:, 2:]), dim=1)
        rows = rows[_centre_inside(moved[rows], limit) | (share[rows] >= MOSTLY_INSIDE)]
    else:
        moved = torch.cat((inner_lower, inner_upper), dim=1)
    return moved[rows], rows, share[rows] <= MOSTLY_INSIDE


def _centre_inside(boxes: Tensor, limit: Tensor) -> Tensor:
    return ((boxes[:, :2] >= 0) & (boxes[:, :2] <= limit)).all(dim=1)


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
