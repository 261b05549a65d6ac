"""Images whose label is doubtful, and images that are far from all others of their class."""

from typing import NamedTuple

import torch
from torch import Tensor

from tgn.assess.features import ImageTable
from tgn.metrics.pairwise import distance_blocks, mask_self

OUTLIER_DEVIATIONS = 4.0
FEW_IMAGES = 8  # below it a class's deviation is taken from all classes
MAD_TO_DEVIATION = 1.4826  # of a normal distribution


class DoubtfulLabel(NamedTuple):
    """An image whose label is contradicted.

    Attributes:
        file: of the image.
        label: class index that it has.
        suggested: class index that the others speak for.
        probability: of its own label, by a fit without it.
        suggested_probability: of the suggested class.
        neighbours: how many of its nearest images have its label.
        suggested_neighbours: how many have the suggested one.
    """

    file: str
    label: int
    suggested: int
    probability: float
    suggested_probability: float
    neighbours: int
    suggested_neighbours: int


class Outlier(NamedTuple):
    """An image far from every other one of its class.

    Attributes:
        file: of the image.
        label: class index.
        distance: to the nearest other image of its class.
        usual: median of that distance in the class.
        deviations: how many robust standard deviations of the logarithm it is above the median.
    """

    file: str
    label: int
    distance: float
    usual: float
    deviations: float


def doubtful_labels(
    images: ImageTable, probabilities: Tensor, neighbours: int
) -> list[DoubtfulLabel]:
    """Return images whose label both a classifier and their neighbours contradict.

    The classifier: a class is *confident* of an image if its probability is at least the mean that
    it gives to images labelled so; the most probable confident class is not the label (confident
    learning, Northcutt et al. 2021, arXiv 1911.00068), and it is more probable than the label. The
    neighbours: of the nearest images more have that class than the label, a vote of a class
    counting by the inverse square root of its size. A class of one image is neither judged nor
    suggested: no fit without that image knows the class.

    Args:
        images: training images.
        probabilities: [N, C], of each image by a fit without it; classes count alike.
        neighbours: how many nearest images vote.
    """
    labels, classes = images.labels, probabilities.shape[1]
    counts, rows = torch.bincount(labels, minlength=classes), torch.arange(len(labels))
    own = probabilities[rows, labels]
    means = torch.zeros(classes, dtype=own.dtype).index_add_(0, labels, own) / counts.clamp(min=1)
    confident = torch.where(probabilities >= means, probabilities, torch.zeros(()))
    confident[:, counts < 2] = 0
    suggested = confident.argmax(1)
    votes = _votes(images, neighbours, classes)
    weighted = votes / counts.clamp(min=1).sqrt()
    outvoted = weighted[rows, suggested] > weighted[rows, labels]
    is_confident = (confident.max(1).values > 0) & (probabilities[rows, suggested] > own)
    doubtful = is_confident & outvoted & (counts[labels] > 1)
    found = [
        DoubtfulLabel(
            images.files[row],
            int(labels[row]),
            int(suggested[row]),
            float(own[row]),
            float(probabilities[row, suggested[row]]),
            int(votes[row, labels[row]]),
            int(votes[row, suggested[row]]),
        )
        for row in doubtful.nonzero().flatten().tolist()
    ]
    return sorted(found, key=lambda one: (one.probability - one.suggested_probability, one.file))


def outliers(images: ImageTable) -> list[Outlier]:
    """Return images whose nearest other image of their class is unusually far, the farthest first.

    Unusual: the logarithm of the distance is more than 4 robust standard deviations (1.4826 times
    the median absolute deviation) above the class's median. Classes under 8 images take the
    deviation of all classes; a class of one image is not judged.
    """
    logs, medians = _log_distances(images)
    above = logs - medians[images.labels]
    pooled = _deviation(above)
    found = []
    for label in images.labels.unique().tolist():
        rows = (images.labels == label).nonzero().flatten()
        spread = pooled if len(rows) < FEW_IMAGES else max(_deviation(above[rows]), pooled / 2)
        for row in rows.tolist():
            if len(rows) > 1 and above[row] > OUTLIER_DEVIATIONS * spread:
                usual = float(medians[label].exp())
                deviations = float(above[row]) / max(spread, 1e-6)
                found.append(
                    Outlier(images.files[row], label, float(logs[row].exp()), usual, deviations)
                )
    return sorted(found, key=lambda one: (-one.deviations, one.file))


def _votes(images: ImageTable, neighbours: int, classes: int) -> Tensor:
    """Return how many of the nearest other images have each class, [N, C]."""
    count = min(neighbours, len(images.labels) - 1)
    nearest = torch.full((len(images.labels), count), float("inf"))
    index = torch.zeros(len(images.labels), count, dtype=torch.int64)
    for rows, columns, block in distance_blocks(images.features, images.features):
        mask_self(block, rows, columns)
        places = torch.arange(columns.start, columns.stop).expand(len(block), -1)
        found = torch.cat((nearest[rows], block), 1).topk(count, dim=1, largest=False)
        nearest[rows] = found.values
        index[rows] = torch.cat((index[rows], places), 1).gather(1, found.indices)
    votes = torch.zeros(len(index), classes, dtype=torch.int64)
    return votes.scatter_add_(1, images.labels[index], torch.ones_like(index))


def _log_distances(images: ImageTable) -> tuple[Tensor, Tensor]:
    """Return log distances to the nearest other image of the class [N], and class medians [C]."""
    labels = images.labels
    logs = torch.zeros(len(labels))
    medians = torch.zeros(int(labels.max()) + 1)
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        if len(rows) == 1:
            continue
        own = images.features[rows]
        nearest = torch.full((len(rows),), float("inf"))
        for one, other, block in distance_blocks(own, own):
            mask_self(block, one, other)
            nearest[one] = torch.minimum(nearest[one], block.min(1).values)
        logs[rows] = nearest.clamp(min=1e-6).log()
        medians[label] = logs[rows].median()
    return logs, medians


def _deviation(values: Tensor) -> float:
    return MAD_TO_DEVIATION * float((values - values.median()).abs().median())
