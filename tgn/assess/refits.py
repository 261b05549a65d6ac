"""Many quick fits of one classifier to different parts of the training images."""

from typing import NamedTuple

import torch
from torch import Tensor

from tgn.data.splits.folds import deal_out
from tgn.probe.fit import own_groups
from tgn.probe.linear import LinearHead, balanced_weights
from tgn.probe.principal_components import principal_basis
from tgn.probe.ridge import fit_ridge, ridge_head

CHUNK_ROWS = 8192
DIMENSIONS = 384  # principal components kept: what is beyond them hardly changes a score
NO_FOLD = -1


class Refitter(NamedTuple):
    """Class-weighted ridge regression on principal components, its penalty chosen once.

    Attributes:
        features: of all training images, in float64, [N, D'].
        labels: [N].
        classes: C.
        penalty: lambda, the best for the whole set with each image left out in closed form.
        basis: from features [D] to components, [D, D'].
        groups: number of each image's group, left out together, [N]; None: all are alone.
    """

    features: Tensor
    labels: Tensor
    classes: int
    penalty: float
    basis: Tensor
    groups: Tensor | None = None

    @classmethod
    def of(
        cls, features: Tensor, labels: Tensor, classes: int, groups: Tensor | None = None
    ) -> "Refitter":
        """Return the refitter of features [N, D] with labels [N], and groups as of `ImageSet`."""
        basis = principal_basis(features, DIMENSIONS)
        reduced = features.double() @ basis
        weights = balanced_weights(labels, classes)
        fit = fit_ridge(reduced, labels, weights, own_groups(labels, groups), classes)
        return cls(reduced, labels, classes, fit.penalty, basis, groups)

    def head(self, rows: Tensor) -> LinearHead:
        """Return the fit to some images, rows [n]; every class that has any weighs the same."""
        labels = self.labels[rows]
        weights = balanced_weights(labels, self.classes)
        return ridge_head(self.features[rows], labels, weights, self.classes, self.penalty)

    def are_right(self, rows: Tensor) -> Tensor:
        """Return whether each training image is told by a fit to some of them, bool [N]."""
        head = self.head(rows)
        parts = self.features.split(CHUNK_ROWS)
        return torch.cat([head.scores(part).argmax(1) for part in parts]) == self.labels


def class_folds(labels: Tensor, folds: int, seed: int, groups: Tensor | None = None) -> Tensor:
    """Return the fold of each image, [N]: every class is dealt out over the folds at random.

    Images of a group are in one fold. The only image of a class is in no fold (-1), as no fit
    without it could know the class.
    """
    is_alone = torch.bincount(labels)[labels] == 1
    return deal_out(labels, folds, seed, groups).masked_fill(is_alone, NO_FOLD)
