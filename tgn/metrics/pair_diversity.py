"""Diversity of a set: the mean distance of random pairs of its images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.metrics.bootstrap import resampling_counts
from tgn.metrics.statistics import check_features
from tgn.runtime.seeds import generator

NUM_RESAMPLES = 200
PairDistance = Callable[[Tensor, Tensor], Tensor]
"""From row numbers [P] and [P] of a set to the distances [P] of those pairs."""


def sample_pairs(num_rows: int, max_pairs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return pairs of different rows: every pair where there are few, else a random sample.

    Args:
        num_rows: rows N of the set, at least 2.
        max_pairs: most pairs returned, at least 1.
        seed: of the random sample.

    Returns:
        First and second row numbers, int64 [P] each, never equal within a pair.

    Raises:
        ValueError: if the set has no pair, or ``max_pairs`` is 0.
    """
    if num_rows < 2 or max_pairs < 1:
        raise ValueError(
            f"got {num_rows} rows and at most {max_pairs} pairs; expected 2 rows and 1 pair or more"
        )
    if num_rows * (num_rows - 1) // 2 <= max_pairs:
        first, second = torch.triu_indices(num_rows, num_rows, offset=1)
        return first, second
    rng = generator(seed, "pairs")
    first = torch.randint(num_rows, (max_pairs,), generator=rng)
    step = torch.randint(1, num_rows, (max_pairs,), generator=rng)
    return first, (first + step) % num_rows


@dataclass(frozen=True)
class PairDistances:
    """Distances of sampled pairs of a set.

    Attributes:
        first: row numbers, int64 [P].
        second: the other rows, int64 [P].
        distance: float64 [P].
        num_rows: rows N of the set.
    """

    first: Tensor
    second: Tensor
    distance: Tensor
    num_rows: int

    @property
    def mean(self) -> float:
        """Mean distance; exactly 0 for a collapsed set."""
        return float(self.distance.mean())

    def resampled_means(self, seed: int) -> Tensor:
        """Return the means over resamples of the images, not of the pairs, which share images: [S].

        The weight of a pair is the product of its images' counts in the resample; a repeated image
        makes no pair with itself.
        """
        counts = resampling_counts(self.num_rows, seed, NUM_RESAMPLES)
        means = []
        for row in counts:
            weight = row[self.first] * row[self.second]
            means.append((weight @ self.distance) / weight.sum().clamp(min=1))
        return torch.stack(means)


def pair_distances(
    num_rows: int, distance: PairDistance, seed: int, max_pairs: int, batch_size: int
) -> PairDistances:
    """Return the distances of pairs of a set.

    Args:
        num_rows: rows N of the set, at least 2.
        distance: returns the distances of a batch of pairs.
        seed: of the pairs.
        max_pairs: most pairs computed.
        batch_size: pairs per call of ``distance``.
    """
    first, second = sample_pairs(num_rows, max_pairs, seed)
    batches = zip(first.split(batch_size), second.split(batch_size), strict=True)
    distances = torch.cat([distance(i, j).double() for i, j in batches])
    return PairDistances(first, second, distances, num_rows)


def feature_pair_distances(features: Tensor, seed: int, max_pairs: int = 20_000) -> PairDistances:
    """Return Euclidean distances of pairs of feature vectors.

    Args:
        features: [N, D], N >= 2.
        seed: of the pairs.
        max_pairs: most pairs computed.

    Raises:
        ValueError: for a wrong shape, non-finite values or fewer than two rows.
    """
    check_features(features)
    return pair_distances(
        len(features),
        lambda i, j: (features[i] - features[j]).norm(dim=1),
        seed,
        max_pairs,
        batch_size=4096,
    )
