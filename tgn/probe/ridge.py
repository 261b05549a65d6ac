"""Ridge regression to classes with weights, its penalty chosen by leaving groups of rows out.

A *row* is the feature of one view of an image (a symmetry, a crop). All views of an image are one
group, left out together: one view says nearly all of another, so leaving single rows out would
choose too small a penalty.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tgn.probe.linear import LinearHead, with_constant

CHUNK_ROWS = 8192
# Of the mean second moment: rows have unit length.
PENALTIES = tuple(10.0 ** (k / 3) for k in range(-18, 1))
NO_VALUE = 1e-12  # of the largest eigenvalue: rounding, and nothing beside any of the penalties


class RidgeFit(NamedTuple):
    """A ridge regression with the choice of its penalty."""

    head: LinearHead
    penalty: float  # lambda
    errors: dict[float, float]  # lambda -> weighted mean squared error of rows left out
    left_out: Tensor  # scores of each row by the fit without its group, [N, C]


class _Problem(NamedTuple):
    """Weighted least squares in the eigenbasis of its second moments."""

    features: Tensor  # [N, D]
    labels: Tensor  # class of each row, [N]
    scale: Tensor  # square roots of the weights, [N]
    values: Tensor  # eigenvalues of X~^T X~ that are not 0, or all, [K]
    vectors: Tensor  # Q, [D + 1, K]
    moment: Tensor  # Q^T X~^T Y~, [K, C]

    def inverse(self, penalty: float) -> Tensor:
        """Return 1 / (eigenvalue + lambda N), [K]."""
        return 1 / (self.values.clamp(min=0) + penalty * len(self.features))


def fit_ridge(
    features: Tensor,
    labels: Tensor,
    weights: Tensor,
    groups: Tensor,
    classes: int,
    penalties: Sequence[float] = PENALTIES,
) -> RidgeFit:
    """Fit weighted ridge regression to one-hot targets; choose lambda by leaving groups out.

    Minimise sum_i w_i |y_i - B^T x_i|^2 + lambda N |B|^2, where x_i has a constant 1 behind it.
    With X~ = W^(1/2) X, the hat matrix H = X~ (X~^T X~ + lambda N I)^-1 X~^T and the residuals
    e~ = W^(1/2) (Y - X B), the residuals of group g by the fit without it are (I - H_gg)^-1 e~_g:
    exact, nothing is fitted again. One eigendecomposition serves every lambda: that of X~^T X~, or
    of X~ X~^T where there are fewer rows than features, which has the same eigenvalues but zeros.
    Source: Allen 1974 (PRESS, e_i / (1 - h_ii)), for blocks of weighted rows.

    Args:
        features: [N, D].
        labels: class of each row, [N].
        weights: w, [N], > 0.
        groups: number of each row's group, [N].
        classes: C.
        penalties: lambda to choose from, > 0.

    Returns:
        The fit whose left-out groups have the smallest weighted mean squared error.
    """
    problem = _decompose(features, labels, weights, classes)
    sums = torch.zeros(len(penalties), dtype=torch.float64)
    for rows in _blocks(groups):
        rotated = _rotated(problem, rows)
        sums += torch.stack(
            [_residuals(problem, rows, rotated, p).double().square().sum() for p in penalties]
        )
    errors = dict(zip(penalties, (sums / weights.double().sum()).tolist(), strict=True))
    penalty = min(errors, key=lambda p: errors[p])
    left_out = features.new_empty(len(features), classes)
    for rows in _blocks(groups):
        residuals = _residuals(problem, rows, _rotated(problem, rows), penalty)
        # a target is 1 at the label and 0 elsewhere
        scores = -residuals / problem.scale[rows][..., None]
        left_out[rows] = _added(scores, labels[rows], torch.ones_like(problem.scale[rows]))
    solution = problem.vectors @ (problem.inverse(penalty)[:, None] * problem.moment)
    return RidgeFit(LinearHead.of(solution.to(features)), penalty, errors, left_out)


def ridge_head(
    features: Tensor, labels: Tensor, weights: Tensor, classes: int, penalty: float
) -> LinearHead:
    """Return the head of :func:`fit_ridge` for one penalty, in float64 and without left-out scores.

    Args:
        features: [N, D].
        labels: class of each row, [N].
        weights: w, [N], > 0.
        classes: C.
        penalty: lambda, > 0.
    """
    second, moment = weighted_moments(features, labels, weights.double().sqrt(), classes)
    second.diagonal().add_(penalty * len(features))
    solution = torch.cholesky_solve(moment, torch.linalg.cholesky(second))
    return LinearHead.of(solution.to(features))


def _decompose(features: Tensor, labels: Tensor, weights: Tensor, classes: int) -> _Problem:
    scale = weights.sqrt().to(features)
    if len(features) <= features.shape[1]:
        return _decompose_rows(features, labels, scale, classes)
    second, moment = weighted_moments(features, labels, scale, classes)
    values, vectors = torch.linalg.eigh(second)
    return _Problem(features, labels, scale, values, vectors, vectors.T @ moment)


def _decompose_rows(features: Tensor, labels: Tensor, scale: Tensor, classes: int) -> _Problem:
    """Decompose X~ X~^T = U S U^T; the eigenvectors of X~^T X~ are X~^T U S^(-1/2)."""
    table = (scale[:, None] * with_constant(features)).double()  # X~
    values, left = torch.linalg.eigh(table @ table.T)
    kept = values > NO_VALUE * values[-1]
    values, left = values[kept], left[:, kept]
    roots = values.sqrt()
    targets = torch.zeros(len(table), classes, dtype=table.dtype)
    targets = _added(targets, labels, scale.to(table))
    return _Problem(
        features, labels, scale, values, table.T @ left / roots, roots[:, None] * (left.T @ targets)
    )


def weighted_moments(
    features: Tensor, labels: Tensor, scale: Tensor, classes: int
) -> tuple[Tensor, Tensor]:
    """Return X~^T X~ and X~^T Y~ of :func:`fit_ridge`, summed over parts of the rows.

    Args:
        features: [N, D].
        labels: class of each row, [N].
        scale: square roots of the weights, [N]; products are in their precision.
        classes: C.

    Returns:
        float64 [D + 1, D + 1] and [D + 1, C].
    """
    side = features.shape[1] + 1
    second = torch.zeros(side, side, dtype=torch.float64)
    moment = torch.zeros(classes, side, dtype=torch.float64)
    for rows in torch.arange(len(features)).split(CHUNK_ROWS):
        part = scale[rows, None] * with_constant(features[rows])
        second += (part.T @ part).double()
        moment.index_add_(0, labels[rows], (scale[rows, None] * part).double())
    return second, moment.T


def _added(scores: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    """Return scores [..., C] with a value [...] added at each label [...]."""
    return scores.scatter_add_(-1, labels[..., None], values[..., None])


def _blocks(groups: Tensor) -> Iterator[Tensor]:
    """Yield the rows of groups of equal size, [G, V], a part at a time."""
    order = groups.argsort(stable=True)
    _, counts = groups.unique(return_counts=True)
    starts = counts.cumsum(0) - counts
    for size in counts.unique().tolist():
        places = starts[counts == size][:, None] + torch.arange(size)
        yield from order[places].split(max(CHUNK_ROWS // size, 1))


def _rotated(problem: _Problem, rows: Tensor) -> Tensor:
    """Return W^(1/2) X Q of the rows [G, V], [G, V, K]."""
    part = problem.scale[rows][..., None] * with_constant(problem.features[rows])
    return part @ problem.vectors.to(part)


def _residuals(problem: _Problem, rows: Tensor, rotated: Tensor, penalty: float) -> Tensor:
    """Return the weighted residuals of groups by the fit without each, [G, V, C]."""
    inverse = problem.inverse(penalty).to(rotated)
    fitted = rotated @ (inverse[:, None] * problem.moment.to(rotated))
    residuals = _added(-fitted, problem.labels[rows], problem.scale[rows])
    hat = (rotated * inverse) @ rotated.mT
    eye = torch.eye(hat.shape[-1], dtype=hat.dtype)
    return torch.linalg.solve(eye - hat, residuals)
