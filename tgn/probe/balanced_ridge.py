"""Ridge regression to classes that all weigh the same, for sets of images that grow."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.probe.linear import LinearHead, class_mean_weights, with_constant
from tgn.probe.ridge import CHUNK_ROWS, weighted_moments


class BalancedRidge:
    """Fits of one training set to which rows of some classes are added.

    Minimise mean over the classes c of the mean over their rows of |e_c - B^T x|^2, plus
    lambda |B|^2, where x has a constant 1 behind it: a class weighs the same however many rows it
    has, and lambda does not depend on how many there are in all. It is the ridge of
    :func:`tgn.probe.ridge.fit_ridge` with balanced weights. The moments of classes that do not
    grow are summed once.

    Args:
        rows: x, float64 [N, D].
        labels: [N].
        classes: C; classes without rows are not counted.
        penalty: lambda > 0.
        growing: classes to which rows may be added.
    """

    def __init__(
        self, rows: Tensor, labels: Tensor, classes: int, penalty: float, growing: Tensor
    ) -> None:
        self.penalty, self.classes = penalty * len(labels.unique()), classes
        grows = torch.isin(labels, growing)
        self._own, self._own_labels = rows[grows], labels[grows]
        self._second, self._moment = _moments(rows[~grows], labels[~grows], classes)

    def fit(self, added: Tensor, added_labels: Tensor) -> LinearHead:
        """Return the fit with more rows.

        Args:
            added: float64 [M, D], of growing classes.
            added_labels: [M].
        """
        rows, labels = torch.cat([self._own, added]), torch.cat([self._own_labels, added_labels])
        second, moment = _moments(rows, labels, self.classes)
        second += self._second
        second.diagonal().add_(self.penalty)
        factor = torch.linalg.cholesky(second)
        return LinearHead.of(torch.cholesky_solve(self._moment + moment, factor))


class LeaveOneOut(NamedTuple):
    """A balanced ridge from which any one training row can be left out, exactly.

    Without row s, B becomes B - w A^-1 x_s r_s^T / (1 - w x_s^T A^-1 x_s), where A is the matrix
    of the normal equations, w the weight of the row and r_s = e_s - B^T x_s its residual
    (Sherman-Morrison). The weights of the other rows stay as they are.
    """

    head: LinearHead  # of B
    directions: Tensor  # w A^-1 x_s / (1 - w x_s^T A^-1 x_s) of each training row, [N, D + 1]
    residuals: Tensor  # r_s, [N, C]

    @classmethod
    def of(cls, rows: Tensor, labels: Tensor, classes: int, penalty: float) -> "LeaveOneOut":
        """Fit all rows.

        Args:
            rows: float64 [N, D].
            labels: [N].
            classes: C.
            penalty: lambda > 0.
        """
        matrix, moment = _moments(rows, labels, classes)
        matrix.diagonal().add_(penalty * len(labels.unique()))
        factor = torch.linalg.cholesky(matrix)
        head = LinearHead.of(torch.cholesky_solve(moment, factor))
        x, weights = with_constant(rows), class_mean_weights(labels, classes)
        directions = weights[:, None] * torch.cholesky_solve(x.T, factor).T
        leverage = (directions * x).sum(1, keepdim=True)
        residuals = F.one_hot(labels, classes) - head.scores(rows)
        return cls(head, directions / (1 - leverage), residuals)

    def scores(self, queries: Tensor, left_out: Tensor) -> Tensor:
        """Return the scores of rows, each by the fit without one training row.

        Args:
            queries: float64 [M, D].
            left_out: the training row that is left out for each, int64 [M]; -1: none.

        Returns:
            [M, C].
        """
        parts = []
        for some, without in zip(
            queries.split(CHUNK_ROWS), left_out.split(CHUNK_ROWS), strict=True
        ):
            known = without >= 0
            rows = without.clamp(min=0)
            overlap = (with_constant(some) * self.directions[rows]).sum(1) * known
            parts.append(self.head.scores(some) - overlap[:, None] * self.residuals[rows])
        return torch.cat(parts)


def _moments(rows: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the moments of rows in which each class counts by its mean."""
    return weighted_moments(rows, labels, class_mean_weights(labels, classes).sqrt(), classes)
