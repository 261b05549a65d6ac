"""Bootstrap intervals: how much a metric varies over resamples of the images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.runtime.seeds import generator

NUM_RESAMPLES = 1000
BLOCK = 10_000_000  # counts in memory at once
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Ends of a 95% percentile interval."""

    low: float
    high: float


def percentile_interval(resampled: Tensor) -> Interval:
    """Return the middle 95% of a statistic's values on bootstrap resamples, [S].

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3.
    """
    tail = (1 - LEVEL) / 2
    low, high = torch.quantile(resampled.double(), torch.tensor([tail, 1 - tail]).double()).tolist()
    return Interval(low, high)


def resampling_counts(num_rows: int, seed: int, num_resamples: int = NUM_RESAMPLES) -> Tensor:
    """Return how often each row is in each resample of its set.

    Args:
        num_rows: rows N of the set.
        seed: of the resamples.
        num_resamples: S.

    Returns:
        float64 [S, N]; each row sums to N.
    """
    picks = torch.randint(
        num_rows, (num_resamples, num_rows), generator=generator(seed, "bootstrap")
    )
    counts = torch.zeros(num_resamples, num_rows, dtype=torch.float64)
    return counts.scatter_add_(1, picks, torch.ones_like(picks, dtype=torch.float64))


def resampled_means(values: Tensor, seed: int) -> Tensor:
    """Return the means of the columns of a table over bootstrap resamples of its rows.

    Args:
        values: [N, P], N >= 1; bool counts as 0 and 1.
        seed: of the resamples.

    Returns:
        float64 [S, P].
    """
    # A block at a time: 1000 resamples of 100,000 images would be 800 MB at once.
    blocks = max(1, len(values) * NUM_RESAMPLES // BLOCK)
    sums = [
        resampling_counts(len(values), seed + block, -(-NUM_RESAMPLES // blocks)) @ values.double()
        for block in range(blocks)
    ]
    return torch.cat(sums)[:NUM_RESAMPLES] / len(values)


def mean_interval(values: Tensor, seed: int) -> Interval:
    """Return the interval of the mean of one value per image.

    Args:
        values: [N], N >= 1; bool counts as 0 and 1.
        seed: of the resamples.

    Returns:
        The interval. Where all values are equal its width is 0.
    """
    return percentile_interval(resampled_means(values[:, None], seed)[:, 0])
