"""Frequent classes that are like a class, and pairs of their images.

The difference of two images of a frequent class is a way in which images of one class vary. Added
to an image of a rare class that is like it, it gives a further image of the rare class:
head-to-tail transfer in feature space. Source: Yin et al. 2019 (arXiv 1803.09014), who share the
variance of frequent classes with rare ones; Schwartz et al. 2018 (arXiv 1806.04734,
Delta-encoder), who learn the differences of pairs.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SIMILAR = 3  # frequent classes that a class takes differences from


class HeadPairs:
    """Pairs of different images of the head classes that are most like a class.

    Args:
        cosines: of every class to every other, [C, C]; see :func:`class_cosines`.
        labels: class of each image, [N].
        num_head: number of head classes, the first in class order.
    """

    def __init__(self, cosines: Tensor, labels: Tensor, num_head: int) -> None:
        self._cosines = cosines
        counts = torch.bincount(labels, minlength=len(cosines))[:num_head]
        self._classes = (counts >= 2).nonzero().flatten()
        self._rows = {c: (labels == c).nonzero().flatten() for c in self._classes.tolist()}

    def __bool__(self) -> bool:
        """Whether a head class has two images."""
        return len(self._classes) > 0

    def classes_like(self, label: int) -> list[int]:
        """Return the head classes most like a class, the most similar first."""
        order = self._cosines[label, self._classes].argsort(descending=True, stable=True)
        return [int(each) for each in self._classes[order[:SIMILAR]]]

    def draw(self, label: int, rng: torch.Generator) -> tuple[int, int]:
        """Return the rows of two images of one head class: all pairs of a class equally likely.

        Args:
            label: of the class that the head class is like.
            rng: gives three numbers.
        """
        similar = self.classes_like(label)
        rows = self._rows[similar[_below(len(similar), rng)]]
        first, further = _below(len(rows), rng), _below(len(rows) - 1, rng)
        return int(rows[first]), int(rows[(first + 1 + further) % len(rows)])


def class_cosines(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the cosines of class means less their mean over the classes, [C, C].

    Args:
        features: [N, D].
        labels: [N].
        classes: C; those without rows mean nothing.
    """
    counts = torch.bincount(labels, minlength=classes)
    sums = features.new_zeros(classes, features.shape[1]).index_add_(0, labels, features)
    means = sums / counts.clamp(min=1)[:, None]
    unit = F.normalize(means - means[counts > 0].mean(0), dim=1)
    return unit @ unit.T


def _below(number: int, rng: torch.Generator) -> int:
    return int(torch.randint(number, (), generator=rng))
