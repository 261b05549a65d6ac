"""Bootstrap intervals: how far a figure would move with other images of the same kind."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.runtime.seeds import generator

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Ends of a 95% percentile interval."""

    low: float
    high: float


def percentile_interval(draws: Tensor) -> Interval:
    """The middle 95% of bootstrap draws [S] (Efron and Tibshirani 1993, section 13.3)."""
    tail = (1 - LEVEL) / 2
    low, high = torch.quantile(draws.double(), torch.tensor([tail, 1 - tail]).double()).tolist()
    return Interval(low, high)


def resampling_counts(num_rows: int, seed: int, draws: int = DRAWS) -> Tensor:
    """How often each row is in each resample of its set, float64 [draws, N]; rows sum to N."""
    picks = torch.randint(num_rows, (draws, num_rows), generator=generator(seed, "bootstrap"))
    counts = torch.zeros(draws, num_rows, dtype=torch.float64)
    return counts.scatter_add_(1, picks, torch.ones_like(picks, dtype=torch.float64))


def mean_interval(values: Tensor, seed: int) -> Interval:
    """Interval of the mean of one value an image.

    Args:
        values: [N], N >= 1; bool counts as 0 and 1.
        seed: of the resamples.

    Returns:
        The interval. Where all values agree it has no width: the resamples cannot know better.
    """
    # A block at a time: 1000 resamples of 100,000 images would be 800 MB at once.
    blocks = max(1, len(values) * DRAWS // 10_000_000)
    draws = [
        resampling_counts(len(values), seed + block, -(-DRAWS // blocks)) @ values.double()
        for block in range(blocks)
    ]
    return percentile_interval(torch.cat(draws) / len(values))
