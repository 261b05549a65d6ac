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
    nearest = nearest_of_class(generated, labels, real, real_labels)
    within = distances_within_classes(real, real_labels)
    threshold = class_percentiles(within, real_labels, labels, percentile)
    return ClassMemorisation(nearest.distance, nearest.index, threshold, within)


def nearest_of_class(
    generated: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor
) -> Neighbours:
    """Return the nearest real image of each generated one's class.

    Args:
        generated: features, [N, D].
        labels: [N].
        real: features, [M, D].
        real_labels: [M].

    Returns:
        Distances [N] and row numbers [N]; infinity and -1 where the class has no real image.

    Raises:
        ValueError: for wrong shapes or non-finite values.
    """
    distance = torch.full((len(generated),), float("inf"), dtype=torch.float64)
    index = torch.full((len(generated),), -1)
    for label in labels.unique():
        own = (real_labels == label).nonzero().flatten()
        if len(own):
            rows = labels == label
            found = nearest_neighbours(generated[rows], real[own])
            distance[rows], index[rows] = found.distance, own[found.index]
    return Neighbours(distance, index)


def distances_within_classes(features: Tensor, labels: Tensor) -> Tensor:
    """Return the distance of each image to the nearest other one of its class.

    Args:
        features: [N, D].
        labels: [N].

    Returns:
        float64 [N]; NaN for the only image of a class.

    Raises:
        ValueError: for wrong shapes or non-finite values.
    """
    distance = torch.full((len(features),), float("nan"), dtype=torch.float64)
    for label in labels.unique():
        rows = labels == label
        own = features[rows]
        if len(own) > 1:
            distance[rows] = nearest_neighbours(own, own, leave_one_out=True).distance
    return distance


def class_percentiles(
    within: Tensor, real_labels: Tensor, labels: Tensor, percentile: float
) -> Tensor:
    """Return a percentile of the distances within the class of each generated image.

    Args:
        within: of real images, from :func:`distances_within_classes`, [M].
        real_labels: their classes, [M].
        labels: classes of the generated images, [N].
        percentile: 0 to 100.

    Returns:
        float64 [N]; NaN where the class has fewer than two real images.
    """
    found = torch.full((len(labels),), float("nan"), dtype=torch.float64)
    for label in labels.unique():
        own = within[real_labels == label]
        if len(own) > 1:
            found[labels == label] = torch.quantile(own, percentile / 100)
    return found
