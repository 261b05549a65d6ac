"""A model of accuracy over the number of training images of a class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tgn.assess.learning_curve import Observation

Array = NDArray[np.float64]

BENDS = (0.0, -0.125, -0.25, -0.5, -1.0)  # kappa: 0 is the logarithm; negative ones level off
SPREAD = 1.5  # standard deviation of classes about their group's mean, in logits
FLAT = 1e-3  # penalty of group means and slope: next to none
STEPS = 12  # of Newton's method
LONGEST_STEP = 4.0


class CurveModel(NamedTuple):
    """logit(accuracy of class c with n images) = u_c + s (n^kappa - 1) / kappa.

    Attributes:
        intercepts: u, [C].
        slope: s >= 0.
        bend: kappa <= 0.
        loss: penalised negative log-likelihood.
    """

    intercepts: Array
    slope: float
    bend: float
    loss: float

    def accuracy(self, labels: Sequence[int], counts: Array) -> Array:
        """Return the accuracies of classes with so many images each."""
        logits = self.intercepts[list(labels)] + self.slope * stretched(counts, self.bend)
        return 1 / (1 + np.exp(-logits))


def stretched(counts: Array, bend: float) -> Array:
    """Return (n^kappa - 1) / kappa, the logarithm for 0 (Box and Cox 1964)."""
    return np.log(counts) if bend == 0 else (counts**bend - 1) / bend


def fit_curves(
    observations: Sequence[Observation], rare: Sequence[int], weights: Array
) -> list[CurveModel]:
    """Fit the model with each bend to observations of frequent and rare classes together.

    Slope and bend are common; intercepts are those of the classes, drawn to the mean of their
    group. A penalised logistic regression, by Newton's method. An image is seen with several
    numbers of training images; these count together as the square root of so many images.

    Args:
        observations: of thinned classes.
        rare: class indices; the others are the second group.
        weights: how often each class counts, [C].
    """
    labels = np.array([one.label for one in observations])
    counts = np.array([one.num_images for one in observations], dtype=float)
    accuracy = np.array([one.accuracy for one in observations])
    images = np.array([one.images for one in observations], dtype=float)
    repeated = np.bincount(labels, minlength=len(weights))
    trials = images * weights[labels] / np.sqrt(repeated[labels])
    is_rare = np.isin(np.arange(len(weights)), list(rare))
    common = np.zeros((len(labels), 3))
    common[np.arange(len(labels)), is_rare[labels].astype(int)] = 1
    penalty = np.r_[weights.clip(min=1) / SPREAD**2, FLAT, FLAT, FLAT]
    found = []
    for bend in BENDS:
        common[:, -1] = stretched(counts, bend)
        rows = _Rows(labels, common, trials, accuracy)
        point, loss = _logistic(rows, penalty)
        if point[-1] < 0:  # more images do no harm: the best slope allowed is 0
            common[:, -1] = 0
            point, loss = _logistic(rows, penalty)
        intercepts = point[:-3] + np.where(is_rare, point[-2], point[-3])
        found.append(CurveModel(intercepts, float(point[-1]), bend, loss))
    return found


def plausibilities(models: Sequence[CurveModel]) -> Array:
    """Return the share of each model, by its likelihood; they sum to 1."""
    losses = np.array([model.loss for model in models])
    shares = np.exp(losses.min() - losses)
    return shares / shares.sum()


class _Rows(NamedTuple):
    """Rows of a logistic regression with a coefficient for each class and three common ones."""

    labels: NDArray[np.int64]  # class of each row, [R]
    common: Array  # frequent, rare, stretched count: [R, 3]
    trials: Array  # weight of each row, [R]
    shares: Array  # of hits, in [0, 1], [R]

    def logits(self, point: Array) -> Array:
        """Return [R] of the coefficients [C + 3]."""
        return point[self.labels] + self.common @ point[-3:]

    def class_sums(self, values: Array, classes: int) -> Array:
        """Return the sum of values [R] over the rows of each class, [C]."""
        return np.bincount(self.labels, values, classes).astype(np.float64)


def _logistic(rows: _Rows, penalty: Array) -> tuple[Array, float]:
    """Return the coefficients [C + 3] of a penalised logistic regression and its loss.

    Args:
        rows: R of them.
        penalty: of the square of each coefficient, halved, [C + 3].
    """
    point = np.zeros(len(penalty))
    for _ in range(STEPS):
        step = _newton_step(rows, penalty, point)
        point -= step * min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), 1e-9))
    chance = (1 / (1 + np.exp(-rows.logits(point)))).clip(1e-9, 1 - 1e-9)
    hits, misses = rows.trials * rows.shares, rows.trials * (1 - rows.shares)
    likelihood = hits * np.log(chance) + misses * np.log(1 - chance)
    return point, float((penalty * point**2).sum() / 2 - likelihood.sum())


def _newton_step(rows: _Rows, penalty: Array, point: Array) -> Array:
    """Return curvature^-1 gradient, [C + 3], in time linear in rows and classes.

    A row is of one class, so the curvature is diagonal but for three rows and columns: they are
    solved for first (Schur complement), then each class alone.
    """
    chance = 1 / (1 + np.exp(-rows.logits(point)))
    error, curvature = rows.trials * (chance - rows.shares), rows.trials * chance * (1 - chance)
    classes = len(point) - 3
    gradient = np.concatenate([rows.class_sums(error, classes), rows.common.T @ error])
    gradient += penalty * point
    diagonal = rows.class_sums(curvature, classes) + penalty[:-3]
    bent = rows.common * curvature[:, None]
    mixed = np.stack([rows.class_sums(column, classes) for column in bent.T], axis=1)  # [C, 3]
    scaled = mixed / diagonal[:, None]
    corner = rows.common.T @ bent - mixed.T @ scaled
    corner[np.diag_indices(3)] += penalty[-3:]
    common = np.linalg.solve(corner, gradient[-3:] - scaled.T @ gradient[:-3])
    return np.concatenate([(gradient[:-3] - mixed @ common) / diagonal, common])
