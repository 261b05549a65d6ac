"""Linear classifiers on features, as pure functions of tensors."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 60  # of L-BFGS
TEMPERATURES = tuple(10.0 ** (k / 20) for k in range(-20, 61))


class LinearHead(NamedTuple):
    """Scores of classes: W z + b of features z."""

    weight: Tensor  # W, [C, D]
    bias: Tensor  # b, [C]

    def scores(self, features: Tensor) -> Tensor:
        """Return [..., C] of features [..., D]."""
        return F.linear(features, self.weight, self.bias)

    def scaled(self, scale: float) -> "LinearHead":
        """Return the head whose scores are ``scale`` times these."""
        return LinearHead(self.weight * scale, self.bias * scale)

    @classmethod
    def of(cls, solution: Tensor) -> "LinearHead":
        """Return the head of coefficients B [D + 1, C], of which the last row is the constant's."""
        return cls(solution[:-1].T.contiguous(), solution[-1].clone())


def with_constant(features: Tensor) -> Tensor:
    """Return features [..., D + 1] with a constant 1 behind them."""
    return F.pad(features, (0, 1), value=1.0)


def class_mean_weights(labels: Tensor, classes: int) -> Tensor:
    """Return weights, float64 [N], under which the rows of each class sum to their mean."""
    return 1 / torch.bincount(labels, minlength=classes).double()[labels]


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Return weights, float64 [N], mean 1, under which all classes with rows weigh the same."""
    return class_mean_weights(labels, classes) * (len(labels) / len(labels.unique()))


def share_of_generated(real: Tensor, generated: Tensor, most: float) -> Tensor:
    """Return the part of a class's weight that its generated rows have, s g / (n + g).

    Args:
        real: n, how many real rows each class has, [C].
        generated: g, likewise.
        most: s in (0, 1).

    Returns:
        [C]; 0 of a class without rows.
    """
    return most * generated / (real + generated).clamp(min=1)


def shared_weights(real: Tensor, generated: Tensor, classes: int, share: float) -> Tensor:
    """Return weights of real, then generated rows, under which all classes weigh the same.

    Within a class of n real and g generated rows, the generated ones weigh s g / (n + g) in all:
    less the more real images a class has, and less the fewer a filter has left. On AID-LT generated
    images helped classes of five images most, and where those of frequent classes weighed as much,
    these lost (docs/notes/recipes.md).

    Args:
        real: labels of the real rows, [N].
        generated: labels of the generated ones, [M]; a class that has some has real ones, too.
        classes: C.
        share: s in (0, 1): what they weigh in a class that has hardly any other.

    Returns:
        float64 [N + M], mean 1.
    """
    n, g = (torch.bincount(each, minlength=classes).double() for each in (real, generated))
    shares = share_of_generated(n, g, share)
    parts = [
        (1 - shares)[real] * class_mean_weights(real, classes),
        shares[generated] * class_mean_weights(generated, classes),
    ]
    weights = torch.cat(parts)
    return weights / weights.mean()


def prototypes(
    features: Tensor, labels: Tensor, classes: int, weights: Tensor | None = None
) -> LinearHead:
    """Return the classifier by the nearest class mean: scores -|z - m_c|^2 / 2 + |z|^2 / 2.

    Source: Mensink et al. 2013 (nearest class mean); a class without rows has the mean 0.

    Args:
        features: z, [N, D].
        labels: [N].
        classes: C.
        weights: of the rows, [N], >= 0; None: all alike.
    """
    each = torch.ones(len(labels)) if weights is None else weights
    each = each.to(features)
    sums = features.new_zeros(classes, features.shape[1])
    sums.index_add_(0, labels, each[:, None] * features)
    total = each.new_zeros(classes).index_add_(0, labels, each)
    means = sums / torch.where(total > 0, total, 1.0)[:, None]
    return LinearHead(means, -means.square().sum(1) / 2)


def softmax_regression(
    features: Tensor, labels: Tensor, weights: Tensor, classes: int, penalty: float
) -> LinearHead:
    """Fit W, b: minimise the weighted mean cross-entropy + penalty / 2 |W|^2, by L-BFGS.

    Args:
        features: [N, D].
        labels: [N].
        weights: [N], > 0.
        classes: C.
        penalty: > 0, which makes the problem strictly convex in W.
    """
    weights = weights.to(features)
    share = weights / weights.sum()
    weight = features.new_zeros(classes, features.shape[1], requires_grad=True)
    bias = features.new_zeros(classes, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = F.linear(features, weight, bias)
        value = (share * F.cross_entropy(logits, labels, reduction="none")).sum()
        value = value + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    return LinearHead(weight.detach(), bias.detach())


def best_scale(scores: Tensor, labels: Tensor, weights: Tensor) -> float:
    """Return the factor of the scores [N, C] with the smallest weighted cross-entropy.

    Scores should be of rows that were left out. Source: temperature scaling, Guo et al. 2017
    (arXiv 1706.04599), section 4.2, here on the training images instead of a validation part.
    """
    share = weights / weights.sum()
    losses = {
        scale: float((share * F.cross_entropy(scores * scale, labels, reduction="none")).sum())
        for scale in TEMPERATURES
    }
    return min(losses, key=lambda scale: losses[scale])
