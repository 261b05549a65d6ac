"""What generated images of each class change at real images that a ridge has not seen."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.metrics.shrinkage import moderated_variances
from tgn.probe.linear import LinearHead, class_mean_weights, share_of_generated
from tgn.probe.ridge import weighted_moments
from tgn.probe.settings import GENERATED_SHARE

STATISTICS = ("right", "margin", "error")  # of a left-out image; more is better


class ViewRows(NamedTuple):
    """Images as rows of a fit.

    Attributes:
        rows: float64 [N, V, D], of V views of each image.
        labels: [N].
    """

    rows: Tensor
    labels: Tensor

    def at(self, index: Tensor) -> "ViewRows":
        """Return some of the images, by rows or a mask."""
        return ViewRows(self.rows[index], self.labels[index])


class Measured(NamedTuple):
    """Sums over left-out images; columns are the G drawn classes, each alone, then all together.

    Attributes:
        classes: the drawn classes, ascending, [G].
        sums: of the changes, by class of the left-out image, [C, G + 1, statistics].
        squares: of their squares, likewise.
        counts: how many images, [C, G + 1]. For a class's own column only those for which images
            of it could be used.
    """

    classes: Tensor
    sums: Tensor
    squares: Tensor
    counts: Tensor


class Gains(NamedTuple):
    """Gains by one statistic, with the effect on all other classes summed in.

    Attributes:
        value: of each drawn class alone, float64 [G].
        variance: of its error, [G]; infinite where nothing could be measured.
        pooled: mean over the drawn classes of what all of them together change.
        pooled_variance: of its error.
    """

    value: Tensor
    variance: Tensor
    pooled: float
    pooled_variance: float


def measure_gains(
    real: ViewRows,
    generated: ViewRows,
    made_from: Tensor,
    folds: Tensor,
    penalty: float,
    advance: Callable[[], None] = lambda: None,
) -> Measured:
    """Measure what the generated images change at real images of other folds.

    For each fold the class-weighted ridge of the probe is fitted to the real images of the other
    folds: alone, with the generated images of one class, and with those of all. Generated images
    have the same share of their class's weight as in a probe (`shared_weights`). Those that were
    made of a real image of the fold are not used.

    Args:
        real: all training images.
        generated: images of some of their classes, one or more.
        made_from: rows of real images that each was made of, int64 [M, K]; -1: none, or not known.
        folds: fold of each real image, [N], from 0.
        penalty: lambda > 0, as of `BalancedRidge`.
        advance: called after every fold.
    """
    classes = int(real.labels.max()) + 1
    drawn = generated.labels.unique()
    shape = classes, len(drawn) + 1
    sums, squares = torch.zeros(2, *shape, len(STATISTICS), dtype=torch.float64)
    counts = torch.zeros(shape, dtype=torch.float64)
    fold_of_origin = torch.where(made_from >= 0, folds[made_from], -1)
    for fold in folds.unique().tolist():
        out = folds == fold
        usable = generated.at(~(fold_of_origin == fold).any(1))
        tested = real.at(out)
        fits = _Fits(real.at(~out), usable, classes, penalty)
        before = statistics(fits.alone(), tested)
        for column, heads in enumerate([*([int(k)] for k in drawn), drawn.tolist()]):
            change = statistics(fits.with_classes(heads), tested) - before
            counted = _is_informed(tested.labels, usable.labels, heads)
            labels = tested.labels[counted]
            sums[:, column].index_add_(0, labels, change[counted])
            squares[:, column].index_add_(0, labels, change[counted].square())
            counts[:, column] += torch.bincount(labels, minlength=classes)
        advance()
    return Measured(drawn, sums, squares, counts)


def _is_informed(tested: Tensor, usable: Tensor, added: list[int]) -> Tensor:
    """Return which tested images can say something: not those whose class alone had none to add."""
    if len(added) > 1 or bool((usable == added[0]).any()):
        return torch.ones(len(tested), dtype=torch.bool)
    return tested != added[0]


class _Fits:
    """Fits to the real images of other folds, and to those with generated ones of some classes."""

    def __init__(self, real: ViewRows, usable: ViewRows, classes: int, penalty: float) -> None:
        self.real, self.usable, self.classes = real, usable, classes
        self.penalty = penalty * len(real.labels.unique())
        self.second, self.moment = self._moments(real)

    def alone(self) -> LinearHead:
        return self._solved(self.second, self.moment)

    def with_classes(self, added: list[int]) -> LinearHead:
        """Return the fit in which generated images of some classes stand beside their real ones."""
        second, moment = self.second.clone(), self.moment.clone()
        for label in added:
            own, more = (part.at(part.labels == label) for part in (self.real, self.usable))
            if len(more.labels) == 0:
                continue
            # a class whose only real image is left out is known by its generated ones alone
            n, g = torch.tensor([len(own.labels), len(more.labels)])
            share = float(share_of_generated(n, g, GENERATED_SHARE)) if n else 1.0
            for sums, old, new in zip(
                (second, moment), self._moments(own), self._moments(more), strict=True
            ):
                sums.add_(new - old, alpha=share)
        return self._solved(second, moment)

    def _moments(self, images: ViewRows) -> tuple[Tensor, Tensor]:
        """Return the moments of images in which each class counts by its mean."""
        views = images.rows.shape[1]
        labels = images.labels.repeat_interleave(views)
        scale = class_mean_weights(labels, self.classes).sqrt()
        return weighted_moments(images.rows.flatten(0, 1), labels, scale, self.classes)

    def _solved(self, second: Tensor, moment: Tensor) -> LinearHead:
        matrix = second.clone()
        matrix.diagonal().add_(self.penalty)
        return LinearHead.of(torch.cholesky_solve(moment, torch.linalg.cholesky(matrix)))


def statistics(head: LinearHead, images: ViewRows) -> Tensor:
    """Return what a fit makes of each image, float64 [N, statistics]; scores are means over views.

    ``right``: 1 if the highest score is that of its class. ``margin``: that score less the highest
    of the others. ``error``: the squared distance of the scores from the one-hot label, negative.
    """
    scores = head.scores(images.rows.mean(1))
    target = F.one_hot(images.labels, scores.shape[1])
    own = scores.gather(1, images.labels[:, None]).squeeze(1)
    other = scores.masked_fill(target.bool(), -torch.inf).amax(1)
    error = (scores - target).square().sum(1)
    return torch.stack([(own > other).double(), own - other, -error], dim=1)


def gains(measured: Measured, statistic: str) -> Gains:
    """Return the gains by one of the statistics.

    A class's gain is the mean change at its own left-out images plus, for every other class, the
    mean change there: what it adds to the sum of the class means. Variances are of these means
    over images; those at the own images are moderated, as a rare class has few.

    Args:
        measured: of :func:`measure_gains`.
        statistic: one of ``STATISTICS``.
    """
    which = STATISTICS.index(statistic)
    sums, squares = measured.sums[..., which], measured.squares[..., which]
    counts, drawn = measured.counts, measured.classes
    many = counts.clamp(min=1)
    means = sums / many
    variances = (squares - sums * means).clamp(min=0) / (counts - 1).clamp(min=1)
    errors = variances / many
    columns = torch.arange(len(drawn))
    own = drawn, columns
    own_error = moderated_variances(variances[own], counts[own]) / many[own]
    error = errors[:, :-1].clone()
    error[own] = own_error.where(counts[own] > 0, torch.inf)
    together = errors[:, -1].clone()
    together[drawn] = moderated_variances(variances[drawn, -1], counts[drawn, -1]) / many[drawn, -1]
    return Gains(
        means[:, :-1].sum(0),
        error.sum(0),
        float(means[:, -1].sum() / len(drawn)),
        float(together.sum() / len(drawn) ** 2),
    )
