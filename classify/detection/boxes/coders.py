"""Box regression targets relative to anchors, and distributions over bins of each target.

Source: Li et al. 2020, Generalized Focal Loss (arXiv 2006.04388), section 3.2.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classify.detection.boxes.rotated import to_long_edge

EDGE_BINS, ROTATED_BINS = 17, 9
ANCHOR_STRIDES = 8  # side of the anchor of a location, in strides
ROTATED_LIMIT = 2.0  # largest absolute value of every parameter: ratios and radians
_MAX_LOG_RATIO = 4.0  # of a side over its anchor's


class Coder(Protocol):
    """Converts between boxes and regression parameters."""

    num_parameters: int  # P, of a box

    @property
    def bins(self) -> Tensor:
        """Return the value of each bin, [K], ascending in equal steps."""

    def decode(self, values: Tensor, anchors: Tensor) -> Tensor:
        """Convert parameters [..., A, P] to boxes [..., A, 4 or 5], in pixels."""

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Convert boxes [A, 4 or 5] to parameters [A, P], clamped to the range of the bins."""


class EdgeCoder(nn.Module):
    """Distances of a box's left, top, right and bottom edge from its location, in strides."""

    num_parameters = 4
    bins: Tensor

    def __init__(self, bins: int = EDGE_BINS) -> None:
        super().__init__()
        self.register_buffer("bins", torch.arange(bins).float(), persistent=False)

    def decode(self, values: Tensor, anchors: Tensor) -> Tensor:
        """Convert distances [..., A, 4] to boxes left, top, right, bottom [..., A, 4]."""
        centre, stride = _centre(anchors), _stride(anchors)
        distances = values * stride[:, None]
        return torch.cat((centre - distances[..., :2], centre + distances[..., 2:]), dim=-1)

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Convert boxes [A, 4] to distances [A, 4]."""
        centre, stride = _centre(anchors), _stride(anchors)
        distances = torch.cat((centre - boxes[:, :2], boxes[:, 2:] - centre), dim=1)
        return (distances / stride[:, None]).clamp(0, float(self.bins[-1]))


class RotatedCoder(nn.Module):
    """dx, dy, dw, dh and the angle of a rotated box, relative to an upright anchor.

    Differs from the released configuration: every parameter, the angle in radians too, has bins
    over [-2, 2]; there the angle's range is [-5, 2] and angles are OpenCV's. Ours are long-edge.
    """

    num_parameters = 5
    bins: Tensor

    def __init__(self, bins: int = ROTATED_BINS) -> None:
        super().__init__()
        values = torch.linspace(-ROTATED_LIMIT, ROTATED_LIMIT, bins)
        self.register_buffer("bins", values, persistent=False)

    def decode(self, values: Tensor, anchors: Tensor) -> Tensor:
        """Convert parameters [..., A, 5] to rotated boxes [..., A, 5]."""
        centre, sides = _centre(anchors), anchors[:, 2:] - anchors[:, :2]
        shifted = centre + values[..., :2] * sides
        scaled = sides * values[..., 2:4].clamp(max=_MAX_LOG_RATIO).exp()
        return torch.cat((shifted, scaled, values[..., 4:]), dim=-1)

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Convert rotated boxes [A, 5] to parameters [A, 5]."""
        normalised, sides = to_long_edge(boxes), anchors[:, 2:] - anchors[:, :2]
        shifted = (normalised[:, :2] - _centre(anchors)) / sides
        scaled = (normalised[:, 2:4].clamp(min=1e-3) / sides).log()
        values = torch.cat((shifted, scaled, normalised[:, 4:]), dim=1)
        return values.clamp(float(self.bins[0]), float(self.bins[-1]))


def expected_value(logits: Tensor, bins: Tensor) -> Tensor:
    """Return the mean [...] of distributions given as logits [..., K] over bins [K]."""
    return logits.softmax(dim=-1) @ bins


def distribution_focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy to the two bins round a value (arXiv 2006.04388, eq. 6).

    Bins are 0, 1, ..., K - 1.

    Args:
        logits: [N, K].
        target: [N] in [0, K - 1].

    Returns:
        [N], in nats; smallest when all mass lies on the two bins and the mean is the target.
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
