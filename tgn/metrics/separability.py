"""Separability: can a linear classifier tell two image sets apart?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.metrics.pairwise import check_feature_pair
from tgn.runtime.seeds import generator

FOLDS = 5
PENALTY = 1.0  # of the mean eigenvalue of the standardised features' second moments
SMALLEST = 10  # images a side


@dataclass(frozen=True)
class Separability:
    """Which images a linear classifier put on the right side when it had not seen them.

    Attributes:
        correct: bool [2 n], first the images of the first set.
    """

    correct: Tensor

    @property
    def accuracy(self) -> float:
        """Share of images on the right side: 0.5 cannot tell them apart, 1 always can."""
        return float(self.correct.double().mean())


def separability(
    first: Tensor,
    second: Tensor,
    labels: tuple[Tensor, Tensor],
    seed: int,
    sources: Tensor | None = None,
) -> Separability | None:
    """Return the cross-validated accuracy of a linear classifier of the set an image is from.

    Of every class equally many images of both sets are taken, so that neither the mixture of
    classes nor the larger set gives the answer away. Ridge regression to -1 and 1 on features that
    are standardised by the other folds. Images of one source are in one fold: else the classifier
    knows the others of a source by their source, which tells nothing of how they look. (Thirty
    symmetric views each of 12 real images are told from fresh real ones in 82% without this.)
    Source: the classifier two-sample test, Lopez-Paz and Oquab 2017 (arXiv 1610.06545).

    Args:
        first: features, [N, D].
        second: features, [M, D].
        labels: classes of both, [N] and [M].
        seed: of the subsets and folds.
        sources: image that each of the first set was made from, [N]; -1: not known, one of its own.

    Returns:
        None if fewer than ten images a side are in common classes, or of fewer than five sources.

    Raises:
        ValueError: for wrong shapes or non-finite values.
    """
    check_feature_pair(first, second, ("first", "second"))
    rows = _balanced_rows(*labels, seed)
    if len(rows[0]) < SMALLEST:
        return None
    features = torch.cat([first[rows[0]], second[rows[1]]]).double()
    side = torch.ones(len(features), dtype=torch.float64)
    side[: len(rows[0])] = -1
    # Rows are in the order of their class, in which folds are dealt out: each has its share.
    dealt = torch.arange(len(rows[0]))
    own = dealt if sources is None else _order_of_appearance(sources[rows[0]])
    if int(own.max()) + 1 < FOLDS:
        return None
    folds = torch.cat([own, dealt]).remainder(FOLDS)
    scores = torch.empty(len(features), dtype=torch.float64)
    for fold in range(FOLDS):
        out = folds == fold
        scores[out] = _ridge_scores(features[~out], side[~out], features[out])
    return Separability(scores * side > 0)


def _order_of_appearance(sources: Tensor) -> Tensor:
    """Number sources by their first appearance; every -1 counts as a source of its own."""
    numbers: dict[int, int] = {}
    count, found = 0, []
    for place, source in enumerate(sources.tolist()):
        key = source if source >= 0 else -1 - place
        if key not in numbers:
            numbers[key], count = count, count + 1
        found.append(numbers[key])
    return torch.tensor(found)


def _balanced_rows(first: Tensor, second: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return equally many random rows of each class of both sets, in the order of the classes."""
    rows: tuple[list[Tensor], list[Tensor]] = ([first[:0]], [first[:0]])
    for label in sorted({*first.tolist()} & {*second.tolist()}):
        own = [(labels == label).nonzero().flatten() for labels in (first, second)]
        count = min(len(part) for part in own)
        for number, part in enumerate(own):
            order = torch.randperm(len(part), generator=generator(seed, "sides", number, label))
            rows[number].append(part[order[:count]])
    return torch.cat(rows[0]), torch.cat(rows[1])


def _ridge_scores(features: Tensor, side: Tensor, queries: Tensor) -> Tensor:
    """Return the scores of queries by ridge regression in closed form, of the smaller system."""
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    scale = deviation.clamp(min=1e-6 * deviation.max().clamp(min=1e-30))
    x, z = (features - mean) / scale, (queries - mean) / scale
    # The mean eigenvalue of x^T x is the number of rows: features have variance 1.
    penalty = PENALTY * len(x)
    if len(x) <= x.shape[1]:
        gram = x @ x.T
        gram.diagonal().add_(penalty)
        return z @ (x.T @ _solved(gram, side - side.mean()))
    second = x.T @ x
    second.diagonal().add_(penalty)
    return z @ _solved(second, x.T @ (side - side.mean()))


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right[:, None], torch.linalg.cholesky(matrix))[:, 0]
