"""Boxes as numbers relative to anchors, and those numbers as distributions over bins.

Source: Li et al. 2020, Generalized Focal Loss (arXiv 2006.04388), section 3.2.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classify.detection.boxes.rotated import long_edge

EDGE_BINS, ROTATED_BINS = 17, 9
ANCHOR_STRIDES = 8  # side of the anchor of a place, in strides
ROTATED_REACH = 2.0  # of every parameter: ratios and radians
_LARGEST_RATIO = 4.0  # log of a side over its anchor's


class Coder(Protocol):
    """Translates between boxes and parameters."""

    size: int  # P, numbers of a box

    @property
    def bins(self) -> Tensor:
        """What each bin stands for, [K], ascending in equal steps."""

    def decode(self, values: Tensor, anchors: Tensor) -> Tensor:
        """Parameters [..., A, P] -> boxes [..., A, 4 or 5]."""

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Boxes [A, 4 or 5] -> parameters [A, P], within what the bins reach."""


class EdgeCoder(nn.Module):
    """Distances of a box's left, top, right and bottom edge from its place, in strides."""

    size = 4
    bins: Tensor

    def __init__(self, bins: int = EDGE_BINS) -> None:
        super().__init__()
        self.register_buffer("bins", torch.arange(bins).float(), persistent=False)

    def decode(self, values: Tensor, anchors: Tensor) -> Tensor:
        """[..., A, 4] -> boxes left, top, right, bottom [..., A, 4]."""
        centre, stride = _centre(anchors), _stride(anchors)
        reach = values * stride[:, None]
        return torch.cat((centre - reach[..., :2], centre + reach[..., 2:]), dim=-1)

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """[A, 4] -> [A, 4]."""
        centre, stride = _centre(anchors), _stride(anchors)
        reach = torch.cat((centre - boxes[:, :2], boxes[:, 2:] - centre), dim=1)
        return (reach / stride[:, None]).clamp(0, float(self.bins[-1]))


class RotatedCoder(nn.Module):
    """dx, dy, dw, dh and the angle of a rotated box, relative to an upright anchor.

    Differs from the released configuration: every parameter, the angle in radians too, has bins
    over [-2, 2]; there the angle's went from -5 to 2, and angles were OpenCV's. Ours are long-edge.
    """

    size = 5
    bins: Tensor

    def __init__(self, bins: int = ROTATED_BINS) -> None:
        super().__init__()
        values = torch.linspace(-ROTATED_REACH, ROTATED_REACH, bins)
        self.register_buffer("bins", values, persistent=False)

    def decode(self, values: Tensor, anchors: Tensor) -> Tensor:
        """[..., A, 5] -> rotated boxes [..., A, 5]."""
        centre, sides = _centre(anchors), anchors[:, 2:] - anchors[:, :2]
        moved = centre + values[..., :2] * sides
        grown = sides * values[..., 2:4].clamp(max=_LARGEST_RATIO).exp()
        return torch.cat((moved, grown, values[..., 4:]), dim=-1)

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """[A, 5] -> [A, 5]."""
        named, sides = long_edge(boxes), anchors[:, 2:] - anchors[:, :2]
        moved = (named[:, :2] - _centre(anchors)) / sides
        grown = (named[:, 2:4].clamp(min=1e-3) / sides).log()
        values = torch.cat((moved, grown, named[:, 4:]), dim=1)
        return values.clamp(float(self.bins[0]), float(self.bins[-1]))


def expected(logits: Tensor, bins: Tensor) -> Tensor:
    """Mean of distributions given as logits [..., K] over bins [K]: [...]."""
    return logits.softmax(dim=-1) @ bins


def distribution_focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy to the two bins round a value (arXiv 2006.04388, eq. 6), for bins 0, 1, ...

    Args:
        logits: [N, K].
        target: [N] in [0, K - 1].

    Returns:
        [N], in nats; least when the mean is the value and all weight lies beside it.
    """
    below = target.floor().clamp(max=logits.shape[1] - 2)
    share = target - below
    lower = F.cross_entropy(logits, below.long(), reduction="none")
    upper = F.cross_entropy(logits, below.long() + 1, reduction="none")
    return (1 - share) * lower + share * upper


def _centre(anchors: Tensor) -> Tensor:
    return (anchors[:, :2] + anchors[:, 2:]) / 2


def _stride(anchors: Tensor) -> Tensor:
    return (anchors[:, 2] - anchors[:, 0]) / ANCHOR_STRIDES
