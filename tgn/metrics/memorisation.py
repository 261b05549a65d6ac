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


@dataclass(frozen=True)
class ClassMemorisation:
    """Which generated images are suspected copies, each by its class's own threshold.

    Attributes:
        distance: to the nearest real image of the class, float64 [N]; infinity where there is none.
        index: row number of that image, int64 [N]; -1 where there is none.
        threshold: of the image's class, float64 [N]; NaN where it has fewer than two real images.
        real_distance: of each real image to the nearest other one of its class, float64 [M]; NaN
            where it has none.
    """

    distance: Tensor
    index: Tensor
    threshold: Tensor
    real_distance: Tensor

    @property
    def is_known(self) -> Tensor:
        """Bool [N], whether the class has a threshold."""
        return self.threshold.isfinite()

    @property
    def is_copy(self) -> Tensor:
        """Bool [N], true for suspected copies."""
        return self.distance <= self.threshold


def memorisation_by_class(
    generated: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor, percentile: float = 1.0
) -> ClassMemorisation:
    """Compare each class with itself: see :func:`memorisation`.

    Classes differ in how much their images do: a threshold over all of them would be that of the
    least varied class, and hide the copies of the others. The threshold of a class with few images
    is rough: it is close to the smallest distance between two of them.

    Args:
        generated: features, [N, D].
        labels: [N].
        real: features of the training images, [M, D].
        real_labels: [M].
        percentile: of the real distances of each class, 0 to 100.

    Raises:
        ValueError: for wrong shapes or non-finite values.
    """
    nan = float("nan")
    distance, threshold = (torch.full((len(generated),), nan, dtype=torch.float64) for _ in "ab")
    index = torch.full((len(generated),), -1)
    own = torch.full((len(real),), nan, dtype=torch.float64)
    distance.fill_(float("inf"))
    for label in torch.cat([labels, real_labels]).unique():
        rows, real_rows = ((k == label).nonzero().flatten() for k in (labels, real_labels))
        if len(real_rows) and len(rows):
            found = nearest_neighbours(generated[rows], real[real_rows])
            distance[rows], index[rows] = found.distance, real_rows[found.index]
        if len(real_rows) > 1:
            table = real[real_rows]
            own[real_rows] = nearest_neighbours(table, table, leave_one_out=True).distance
            threshold[rows] = torch.quantile(own[real_rows], percentile / 100)
    return ClassMemorisation(distance, index, threshold, own)
