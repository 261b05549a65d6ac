"""Criteria that generated images must meet to be kept, each with its threshold."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.metrics.memorisation import class_percentiles, nearest_of_class
from tgn.metrics.pairwise import distance_blocks
from tgn.metrics.prototype_distance import prototype_limits

QUALITY_NEIGHBOURS = 5


@dataclass(frozen=True)
class CriterionResult:
    """The result of one criterion for N images.

    Attributes:
        reason: why it drops an image, in words.
        threshold: what ``value`` is compared with, [N]; it may differ from class to class.
        value: of each image, [N].
        drop: bool [N].
    """

    reason: str
    threshold: Tensor
    value: Tensor
    drop: Tensor


def too_improbable(
    reason: str, probabilities: Tensor, labels: Tensor, minimum: float
) -> CriterionResult:
    """Drop images whose class has less than ``minimum`` probability.

    Args:
        reason: names the classifier.
        probabilities: [N, C or more].
        labels: intended classes, int64 [N].
        minimum: in [0, 1].
    """
    value = probabilities.gather(1, labels[:, None]).squeeze(1)
    return CriterionResult(reason, torch.full_like(value, minimum), value, value < minimum)


def least_like_prompts(agreement: Tensor, labels: Tensor, percentile: float) -> CriterionResult:
    """Drop the ``percentile`` % of each class that agree least with its prompts.

    Args:
        agreement: cosine of each image to the prompts of its class by CLIP, [N].
        labels: intended classes, int64 [N].
        percentile: 0 to 100.
    """
    value, threshold = agreement.double(), torch.zeros(len(labels), dtype=torch.float64)
    for label in torch.unique(labels):
        rows = labels == label
        threshold[rows] = torch.quantile(value[rows], percentile / 100)
    return CriterionResult("least like its prompts", threshold, value, value < threshold)


def copies(
    generated: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor, thresholds: Tensor
) -> CriterionResult:
    """Drop images within a threshold of a training image of their class.

    Args:
        generated: features, [N, D].
        labels: classes, int64 [N].
        real: features of the training images, [M, D].
        real_labels: int64 [M].
        thresholds: of :func:`class_thresholds`, [N].
    """
    distance = nearest_of_class(generated, labels, real, real_labels).distance
    return CriterionResult("copy of a training image", thresholds, distance, distance <= thresholds)


def duplicates(generated: Tensor, labels: Tensor, thresholds: Tensor) -> CriterionResult:
    """Drop images within a threshold of an earlier image of their class.

    Args:
        generated: features, [N, D].
        labels: classes, int64 [N].
        thresholds: Euclidean distance of each image's class, >= 0, [N].
    """
    value = torch.full((len(generated),), float("inf"), dtype=torch.float64)
    for label in torch.unique(labels):
        rows = (labels == label).nonzero().flatten()
        value[rows] = _nearest_earlier(generated[rows].double())
    return CriterionResult("near-duplicate", thresholds, value, value <= thresholds)


def unlike_real(
    generated: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor, percentile: float
) -> CriterionResult:
    """Drop the ``percentile`` % of each class that lie furthest from its real images.

    The distance is the mean over the nearest five real images of the class, or as many as there
    are, so that it does not depend on a single outlier.

    Args:
        generated: features, [N, D].
        labels: classes, int64 [N].
        real: features of the training images, [M, D].
        real_labels: int64 [M]; a class without real images is not tested.
        percentile: 0 to 100; 0 drops nothing.
    """
    value = torch.zeros(len(generated), dtype=torch.float64)
    threshold = torch.full_like(value, float("inf"))
    for label in torch.unique(labels):
        rows, own = labels == label, real[real_labels == label].double()
        if len(own) == 0:
            continue
        value[rows] = _mean_of_nearest(generated[rows].double(), own)
        if percentile > 0:
            threshold[rows] = torch.quantile(value[rows], 1 - percentile / 100)
    return CriterionResult("unlike real images", threshold, value, value > threshold)


def unlike_prototype(
    generated: Tensor, labels: Tensor, real: Tensor, real_labels: Tensor, percentile: float
) -> tuple[CriterionResult, CriterionResult]:
    """Drop images nearer to the mean of their class than real ones are, and those further away.

    Args:
        generated: features, [N, D].
        labels: classes, int64 [N].
        real: features of the training images, [M, D], two or more of some class.
        real_labels: int64 [M].
        percentile: of :func:`prototype_limits`, > 0.
    """
    distance, nearest, furthest = prototype_limits(generated, labels, real, real_labels, percentile)
    return (
        CriterionResult("too typical of its class", nearest, distance, distance < nearest),
        CriterionResult("far from its class", furthest, distance, distance > furthest),
    )


def class_thresholds(
    within: Tensor, real_labels: Tensor, labels: Tensor, percentile: float
) -> Tensor:
    """Return a percentile of the distances of each class's real images to their nearest other one.

    Classes differ in how much their images vary. The threshold of a class with few images is rough;
    a class with fewer than two takes that of all classes together.

    Args:
        within: distance of each training image to the nearest other one of its class, [M].
        real_labels: [M], of which a class has two or more.
        labels: classes of the generated images, [N].
        percentile: 0 to 100.

    Returns:
        The threshold of each generated image's class, float64 [N].
    """
    every = torch.quantile(within[within.isfinite()], percentile / 100)
    thresholds = class_percentiles(within, real_labels, labels, percentile)
    return thresholds.where(thresholds.isfinite(), every)


def _nearest_earlier(features: Tensor) -> Tensor:
    """Return the distance of each row to the nearest row before it, [N]; infinity for the first."""
    nearest = torch.full((len(features),), float("inf"), dtype=features.dtype)
    for rows, columns, between in distance_blocks(features, features):
        later = (
            torch.arange(columns.start, columns.stop)
            >= torch.arange(rows.start, rows.stop)[:, None]
        )
        near = between.masked_fill(later, float("inf")).amin(dim=1)
        nearest[rows] = torch.minimum(nearest[rows], near)
    return nearest


def _mean_of_nearest(queries: Tensor, references: Tensor) -> Tensor:
    count = min(QUALITY_NEIGHBOURS, len(references))
    nearest = torch.full((len(queries), count), float("inf"), dtype=queries.dtype)
    for rows, _, between in distance_blocks(queries, references):
        candidates = torch.cat((nearest[rows], between), dim=1)
        nearest[rows] = candidates.topk(count, dim=1, largest=False).values
    return nearest.mean(dim=1)
