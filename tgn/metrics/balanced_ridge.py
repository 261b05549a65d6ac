"""Ridge regression to classes that all weigh the same, for sets of images that grow."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK_ROWS = 8192


def centred_unit(features: Tensor, mean: Tensor) -> Tensor:
    """Return features less a mean, scaled to unit length, with a constant 1 behind them.

    Source: the CL2N transformation of Wang et al. 2019, SimpleShot (arXiv 1911.04623).

    Args:
        features: [N, D].
        mean: of the training images, [D].

    Returns:
        float64 [N, D + 1].
    """
    return F.pad(F.normalize((features - mean).double(), dim=1), (0, 1), value=1.0)


class BalancedRidge:
    """Fits of one training set to which rows of some classes are added.

    Minimise mean over the classes c of the mean over their rows of |e_c - B^T x|^2, plus
    lambda |B|^2: a class weighs the same however many rows it has, and lambda does not depend on
    how many there are in all. The second moments of classes that do not grow are summed once.

    Args:
        rows: x, float64 [N, D + 1], of :func:`centred_unit`.
        labels: [N].
        classes: C; classes without rows are not counted.
        penalty: lambda > 0.
        growing: classes to which rows may be added.
    """

    def __init__(
        self, rows: Tensor, labels: Tensor, classes: int, penalty: float, growing: Tensor
    ) -> None:
        self.penalty, self.classes = penalty, classes
        self.present = int((torch.bincount(labels, minlength=classes) > 0).sum())
        grows = torch.isin(labels, growing)
        self._own, self._own_labels = rows[grows], labels[grows]
        fixed = ~grows
        self._second, self._moment = self._moments(rows[fixed], labels[fixed])

    def fit(self, added: Tensor, added_labels: Tensor) -> Tensor:
        """Return B [D + 1, C] of the fit with more rows.

        Args:
            added: float64 [M, D + 1], of growing classes.
            added_labels: [M].
        """
        rows = torch.cat([self._own, added])
        second, moment = self._moments(rows, torch.cat([self._own_labels, added_labels]))
        second = self._second + second
        second.diagonal().add_(self.penalty)
        return torch.cholesky_solve(self._moment + moment, torch.linalg.cholesky(second))

    def _moments(self, rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return sums of w x x^T and of w x e^T, where w = 1 / (classes x rows of the class)."""
        weights = _weights(labels, self.classes, self.present)
        weighted = rows * weights[:, None]
        moment = torch.zeros(self.classes, rows.shape[1], dtype=rows.dtype)
        return weighted.T @ rows, moment.index_add_(0, labels, weighted).T


class LeaveOneOut(NamedTuple):
    """A balanced ridge from which any one training row can be left out, exactly.

    Without row s, B becomes B - w A^-1 x_s r_s^T / (1 - w x_s^T A^-1 x_s), where A is the matrix
    of the normal equations, w the weight of the row and r_s = e_s - B^T x_s its residual
    (Sherman-Morrison). The weights of the other rows stay as they are.
    """

    solution: Tensor  # B, [D + 1, C]
    directions: Tensor  # w A^-1 x_s / (1 - w x_s^T A^-1 x_s) of each training row, [N, D + 1]
    residuals: Tensor  # r_s, [N, C]

    @classmethod
    def of(cls, rows: Tensor, labels: Tensor, classes: int, penalty: float) -> "LeaveOneOut":
        """Fit all rows.

        Args:
            rows: float64 [N, D + 1].
            labels: [N].
            classes: C.
            penalty: lambda > 0.
        """
        weights = _weights(labels, classes, len(labels.unique()))[:, None]
        targets = F.one_hot(labels, classes).to(rows)
        matrix = (rows * weights).T @ rows
        matrix.diagonal().add_(penalty)
        factor = torch.linalg.cholesky(matrix)
        solution = torch.cholesky_solve((rows * weights).T @ targets, factor)
        directions = weights * torch.cholesky_solve(rows.T, factor).T
        leverage = (directions * rows).sum(1, keepdim=True)
        return cls(solution, directions / (1 - leverage), targets - rows @ solution)

    def scores(self, queries: Tensor, left_out: Tensor) -> Tensor:
        """Return the scores of rows, each by the fit without one training row.

        Args:
            queries: float64 [M, D + 1].
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
            overlap = (some * self.directions[rows]).sum(1) * known
            parts.append(some @ self.solution - overlap[:, None] * self.residuals[rows])
        return torch.cat(parts)


def _weights(labels: Tensor, classes: int, present: int) -> Tensor:
    counts = torch.bincount(labels, minlength=classes).double()
    return 1 / (present * counts[labels])
