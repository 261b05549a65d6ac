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


class LeaveRowsOut(NamedTuple):
    """A balanced ridge from which any few training rows can be left out, exactly.

    Without the rows S, B becomes B - D_S^T (I - X_S D_S^T)^-1 R_S, where D_S = W_S X_S A^-1, A is
    the matrix of the normal equations, W the weights and R_S = Y_S - X_S B the residuals
    (Woodbury; of one row Sherman-Morrison). The weights of the other rows stay as they are.
    """

    head: LinearHead  # of B
    x: Tensor  # of the training rows with their constant, [N, D + 1]
    directions: Tensor  # D, w A^-1 x of each training row, [N, D + 1]
    residuals: Tensor  # R, [N, C]

    @classmethod
    def of(cls, rows: Tensor, labels: Tensor, classes: int, penalty: float) -> "LeaveRowsOut":
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
        return cls(head, x, directions, F.one_hot(labels, classes) - head.scores(rows))

    def scores(self, queries: Tensor, left_out: Tensor) -> Tensor:
        """Return the scores of rows, each by the fit without some training rows.

        Args:
            queries: float64 [M, D].
            left_out: different training rows that are left out for each, int64 [M, K]; -1: none.

        Returns:
            [M, C].
        """
        chunk = max(CHUNK_ROWS // left_out.shape[1], 1)
        parts = zip(queries.split(chunk), left_out.split(chunk), strict=True)
        return torch.cat([self._part(some, without) for some, without in parts])

    def _part(self, queries: Tensor, left_out: Tensor) -> Tensor:
        rows = left_out.clamp(min=0)
        is_out = (left_out >= 0)[..., None]
        directions, residuals = self.directions[rows] * is_out, self.residuals[rows] * is_out
        kept = torch.eye(rows.shape[1], dtype=queries.dtype) - self.x[rows] @ directions.mT
        change = torch.linalg.solve(kept, residuals)  # [M, K, C]
        overlap = with_constant(queries)[:, None] @ directions.mT  # [M, 1, K]
        return self.head.scores(queries) - (overlap @ change).squeeze(1)


def _moments(rows: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the moments of rows in which each class counts by its mean."""
    return weighted_moments(rows, labels, class_mean_weights(labels, classes).sqrt(), classes)
