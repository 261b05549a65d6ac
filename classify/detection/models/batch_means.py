"""Means over the objects of a batch, so that each counts the same in full and in empty images."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class LossSum(NamedTuple):
    """A sum over anchors of one image, and its part of what the sum over a batch is divided by."""

    total: Tensor  # scalar, or [L] for levels whose means are summed
    divisor: Tensor  # of the same shape; float, without gradient


def batch_means(
    images: Sequence[Mapping[str, LossSum]],
    average: Callable[[Tensor], Tensor],
    processes: int = 1,
) -> dict[str, Tensor]:
    """Divide the sums over a batch by their counts over the batch.

    An image by itself would not do: an object among thirty would weigh a thirtieth of one alone.

    Args:
        images: the named sums of each, at least one; all have the same names.
        processes: how many share the batch.
        average: of a tensor over all processes. Gradients are averaged too, so that the result is
            the mean over the whole batch however many processes share it.

    Returns:
        The means, scalars; a count below 1 is taken for 1.
    """
    names = list(images[0])
    totals = [torch.stack([one[name].total for one in images]).sum(dim=0) for name in names]
    counts = [torch.stack([one[name].divisor for one in images]).sum(dim=0) for name in names]
    shared = average(torch.cat([count.flatten() for count in counts]))
    parts = shared.clamp(min=1.0 / processes).split([count.numel() for count in counts])
    return {
        name: (total.flatten() / part).sum()
        for name, total, part in zip(names, totals, parts, strict=True)
    }
