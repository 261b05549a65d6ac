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
    design = np.zeros((len(labels), len(weights) + 3))
    design[np.arange(len(labels)), labels] = 1
    design[np.arange(len(labels)), len(weights) + is_rare[labels]] = 1
    penalty = np.r_[weights.clip(min=1) / SPREAD**2, FLAT, FLAT, FLAT]
    found = []
    for bend in BENDS:
        design[:, -1] = stretched(counts, bend)
        point, loss = _logistic(design, trials, accuracy, penalty)
        if point[-1] < 0:  # more images do no harm: the best slope allowed is 0
            design[:, -1] = 0
            point, loss = _logistic(design, trials, accuracy, penalty)
        intercepts = point[:-3] + np.where(is_rare, point[-2], point[-3])
        found.append(CurveModel(intercepts, float(point[-1]), bend, loss))
    return found


def plausibilities(models: Sequence[CurveModel]) -> Array:
    """Return the share of each model, by its likelihood; they sum to 1."""
    losses = np.array([model.loss for model in models])
    shares = np.exp(losses.min() - losses)
    return shares / shares.sum()


def _logistic(design: Array, trials: Array, shares: Array, penalty: Array) -> tuple[Array, float]:
    """Return the coefficients of a penalised logistic regression and its loss.

    Args:
        design: [R, P].
        trials: weight of each row, [R].
        shares: of hits, [R], in [0, 1].
        penalty: of the square of each coefficient, halved, [P].
    """
    point = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-design @ point))
        gradient = design.T @ (trials * (chance - shares)) + penalty * point
        curvature = (design * (trials * chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(penalty), gradient)
        point -= step * min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), 1e-9))
    chance = (1 / (1 + np.exp(-design @ point))).clip(1e-9, 1 - 1e-9)
    likelihood = trials * (shares * np.log(chance) + (1 - shares) * np.log(1 - chance))
    return point, float((penalty * point**2).sum() / 2 - likelihood.sum())
