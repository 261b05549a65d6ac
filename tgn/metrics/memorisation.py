"""Memorisation: generated images nearer to a real one than real images are to each other."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tgn.metrics.neighbours import Neighbours, nearest_neighbours


@dataclass(frozen=True)
class Memorisation:
    """Which generated images are suspected copies.

    Attributes:
        neighbours: nearest real image of each generated one, N rows.
        threshold: distance at or below which an image counts as a copy.
        real_median: median distance of a real image to its nearest other real one.
    """

    neighbours: Neighbours = field(repr=False)
    threshold: float
    real_median: float

    @property
    def is_copy(self) -> Tensor:
        """Bool [N], true for suspected copies."""
        return self.neighbours.distance <= self.threshold

    @property
    def share(self) -> float:
        """Share of suspected copies, 0 to 1."""
        return float(self.is_copy.double().mean())

    @property
    def median_distance(self) -> float:
        """Median distance of a generated image to its nearest real one."""
        return float(self.neighbours.distance.median())


def memorisation(generated: Tensor, real: Tensor, percentile: float = 1.0) -> Memorisation:
    """Compare generated-to-real distances with the distances within the real set.

    An image is suspected where its nearest real neighbour is no further than the given percentile
    of the leave-one-out distances within the real set, so about that share of new real images
    would be suspected too. Below about a hundred real images the percentile is close to the
    smallest of those distances, and the share is only indicative.

    Args:
        generated: features, [N, D], N >= 1.
        real: features of the training images, same extractor, [M, D], M >= 2.
        percentile: of the real distances, 0 to 100.

    Returns:
        Neighbours and threshold; from them the share of suspected copies.

    Raises:
        ValueError: for wrong shapes, non-finite values, no generated or fewer than two real rows.
    """
    if len(generated) < 1:
        raise ValueError("got no generated features, expected at least one row")
    own = nearest_neighbours(real, real, leave_one_out=True).distance
    return Memorisation(
        neighbours=nearest_neighbours(generated, real),
        threshold=float(torch.quantile(own, percentile / 100)),
        real_median=float(own.median()),
    )
