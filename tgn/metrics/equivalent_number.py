"""How many real images bring the same gain: a learning curve, smoothed and read backwards."""

import torch
from torch import Tensor

ROUNDING = 1e-9


def isotonic(values: Tensor) -> Tensor:
    """Return the non-decreasing sequence nearest to ``values`` in squares, along the last axis.

    The max-min formula: at j, the largest over a <= j of the smallest over b >= j of the mean of
    values a to b. Source: Robertson et al. 1988, "Order restricted statistical inference", 1.2.

    Args:
        values: [..., P].

    Returns:
        [..., P].
    """
    points = values.shape[-1]
    sums = torch.nn.functional.pad(values, (1, 0)).cumsum(-1)
    first, last = torch.arange(points)[:, None], torch.arange(points)
    means = (sums[..., None, 1:] - sums[..., :-1, None]) / (last - first + 1).clamp(min=1)
    means = means.masked_fill(last < first, float("inf"))  # [..., a, b]
    smallest = means.flip(-1).cummin(-1).values.flip(-1)  # [..., a, j], over b >= j
    return smallest.masked_fill(first > last, -float("inf")).amax(-2)


def equivalent_number(counts: Tensor, accuracies: Tensor, reached: Tensor) -> Tensor:
    """Return at how many added images a learning curve is as high as what was reached.

    The curve is made non-decreasing, without changing its first point, and is linear between
    its points.

    Args:
        counts: images added a class, ascending from 0, [P].
        accuracies: of the curve at these counts, [..., P].
        reached: accuracy to look up, [...].

    Returns:
        [...]: 0 where no more is reached than without added images, infinity where more is reached
        than the curve ever does.
    """
    accuracies, reached = accuracies.double(), reached.double()
    start = accuracies[..., :1]
    curve = torch.cat([start, isotonic(accuracies[..., 1:]).maximum(start)], dim=-1)
    is_above = curve[..., 1:] >= reached[..., None] - ROUNDING
    place = is_above.int().argmax(-1)[..., None]  # of the interval in which it is reached
    low, high = (curve[..., side].gather(-1, place) for side in (slice(None, -1), slice(1, None)))
    left, right = (side[place] for side in (counts[:-1], counts[1:]))
    share = (reached[..., None] - low) / (high - low).clamp(min=ROUNDING)
    found = (left + (right - left) * share.clamp(max=1))[..., 0].masked_fill(
        ~is_above.any(-1), float("inf")
    )
    return found.masked_fill(reached <= start[..., 0], 0.0)
