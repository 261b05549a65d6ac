"""A linear head on the views of images: normalisation, fit, and scores of images left out."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tgn.data.splits.folds import deal_out
from tgn.models.classifier_layers import normalised_parts
from tgn.probe.linear import (
    LinearHead,
    balanced_weights,
    best_scale,
    prototypes,
    shared_weights,
    softmax_regression,
)
from tgn.probe.ridge import fit_ridge, ridge_head
from tgn.probe.settings import GENERATED_BELOW, HeadName

FOLDS = 5
SOFTMAX_PENALTIES = (1e-6, 3e-6, 1e-5, 1e-4)


class Normalisation(NamedTuple):
    """How the features of several networks become one: centred, scaled, side by side."""

    means: tuple[Tensor, ...]  # of the training views of each network, [D]
    parts: tuple[tuple[int, ...], ...]  # of each network's features: see normalised_parts

    def joined(self, tables: Sequence[Tensor]) -> Tensor:
        """Return features of unit length [N, V, sum of D] of those of each network [N, V, D]."""
        normalised = [
            normalised_parts(table, mean, parts)
            for table, mean, parts in zip(tables, self.means, self.parts, strict=True)
        ]
        return torch.cat(normalised, dim=-1) / len(tables) ** 0.5


class FittedProbe(NamedTuple):
    """A linear head with the normalisation before it.

    Attributes:
        head: scores of the joined features; their softmax gives probabilities.
        normalisation: of the features.
        penalty: chosen, or None for prototypes.
        scale: factor of the scores, which is in ``head`` already.
        left_out: scores [N, C] of the training images by fits without them.
    """

    head: LinearHead
    normalisation: Normalisation
    penalty: float | None
    scale: float
    left_out: Tensor

    def scores(self, tables: Sequence[Tensor]) -> Tensor:
        """Return scores [N, C], means over the views, of features [N, V, D] a network."""
        return self.head.scores(self.normalisation.joined(tables).mean(1))


class RealViews(NamedTuple):
    """The training images as a head sees them."""

    tables: Sequence[Tensor]  # features by each network, [N, V, D]; the symmetries come first
    labels: Tensor  # [N]
    groups: Tensor | None = None  # number of each image's group, left out together, [N]


class GeneratedViews(NamedTuple):
    """Generated images that a head is fitted to beside the real ones."""

    tables: Sequence[Tensor]  # features by each network, [M, V, D]
    labels: Tensor  # [M]
    share: float  # most that they weigh in a class: see shared_weights


def generated_rows(generated: Tensor, real: Tensor, below: int = GENERATED_BELOW) -> Tensor:
    """Return which generated images a probe uses: those of classes with few real ones.

    On draws of AID generated images raised the accuracy of classes with fewer than 20 training
    images and lowered that of classes with 20 to 100 (docs/notes/recipes.md). "Few" is the usual
    term for the former (Liu et al. 2019, arXiv 1904.05160, section 4).

    Args:
        generated: labels of the generated images, [M].
        real: labels of the real ones, [N].
        below: a class has fewer real images than that.

    Returns:
        Row numbers, ascending.
    """
    classes = int(torch.cat([generated, real]).max()) + 1
    return (torch.bincount(real, minlength=classes)[generated] < below).nonzero().flatten()


class _Chosen(NamedTuple):
    """A head, the scores [N, C] of images left out, and how to fit it to other images.

    ``again`` takes features [N, V, D], labels [N] and weights [N], mean 1; what was chosen stays.
    """

    head: LinearHead
    left_out: Tensor
    penalty: float | None
    again: Callable[[Tensor, Tensor, Tensor], LinearHead]


def fit_probe(
    real: RealViews,
    parts: Sequence[tuple[int, ...]],
    classes: int,
    head: HeadName,
    symmetries: int,
    generated: GeneratedViews | None = None,
) -> FittedProbe:
    """Fit a head to the views of the training images; every class weighs the same.

    Hyperparameters are chosen on the real training images: lambda of ridge by leaving each image
    out in closed form, the penalty of softmax regression by 5-fold cross-validation, and the scale
    of the scores, which makes them logits, by the images left out. Images of a group, such as chips
    of one image, are left out together. Generated images choose nothing:
    a real image that is left out would be known by the images that were generated from it.

    Args:
        real: the training images; of their first ``symmetries`` views a test image has, too.
        parts: how many features each part has, a network.
        classes: C.
        head: which.
        symmetries: S <= V.
        generated: with which the chosen head is fitted anew, or None.
    """
    tables, labels, _ = real
    normalisation = Normalisation(tuple(table.mean((0, 1)) for table in tables), tuple(parts))
    features = normalisation.joined(tables)
    found = FITS[head](features, real, classes, symmetries)
    scale = best_scale(found.left_out, labels, balanced_weights(labels, classes))
    left_out, fitted = found.left_out * scale, found.head
    if generated is not None:
        fitted = found.again(
            torch.cat([features, normalisation.joined(generated.tables)]),
            torch.cat([labels, generated.labels]),
            shared_weights(labels, generated.labels, classes, generated.share),
        )
    return FittedProbe(fitted.scaled(scale), normalisation, found.penalty, scale, left_out)


def _ridge(features: Tensor, real: RealViews, classes: int, symmetries: int) -> _Chosen:
    images, views, dimension = features.shape
    labels = real.labels
    rows = labels.repeat_interleave(views)
    fit = fit_ridge(
        features.view(-1, dimension),
        rows,
        balanced_weights(rows, classes),
        own_groups(labels, real.groups).repeat_interleave(views),
        classes,
    )
    left_out = fit.left_out.view(images, views, classes)[:, :symmetries].mean(1)

    def again(features: Tensor, labels: Tensor, weights: Tensor) -> LinearHead:
        rows, each = labels.repeat_interleave(views), weights.repeat_interleave(views)
        return ridge_head(features.view(-1, dimension), rows, each, classes, fit.penalty)

    return _Chosen(fit.head, left_out, fit.penalty, again)


def _prototypes(features: Tensor, real: RealViews, classes: int, symmetries: int) -> _Chosen:
    """Fit class means; an image left out is taken off them, with its group."""
    labels, groups = real.labels, own_groups(real.labels, real.groups)
    whole, seen = features.mean(1), features[:, :symmetries].mean(1)
    head = prototypes(whole, labels, classes)
    # the images of a class within a group, and the mean of the class without them
    keys, own = (groups * classes + labels).unique(return_inverse=True)
    label, group = keys % classes, keys // classes
    counts = torch.bincount(labels, minlength=classes)[label]
    sums = counts[:, None] * head.weight[label]
    left = (counts - torch.bincount(own)).clamp(min=1)
    others = sums.index_add(0, own, whole, alpha=-1) / left[:, None]
    row, part = _same(groups, group)
    scores = head.scores(seen)
    changed = (others[part] * seen[row]).sum(1) - others.square().sum(1)[part] / 2
    scores[row, label[part]] = changed

    def again(features: Tensor, labels: Tensor, weights: Tensor) -> LinearHead:
        return prototypes(features.mean(1), labels, classes, weights)

    return _Chosen(head, scores, None, again)


def own_groups(labels: Tensor, groups: Tensor | None) -> Tensor:
    """Return the number of each image's group, [N]; without groups every image is alone."""
    return torch.arange(len(labels)) if groups is None else groups


def _same(values: Tensor, ascending: Tensor) -> tuple[Tensor, Tensor]:
    """Return all pairs (i, j) of equal values[i] and ascending[j]: the i, and the j."""
    start, end = (torch.searchsorted(ascending, values, right=right) for right in (False, True))
    many = end - start
    first = torch.arange(len(values)).repeat_interleave(many)
    place = torch.arange(len(first)) - (many.cumsum(0) - many)[first]
    return first, start[first] + place


def _softmax(features: Tensor, real: RealViews, classes: int, symmetries: int) -> _Chosen:
    """Fit softmax regression to the images' mean views, its penalty chosen by folds."""
    labels = real.labels
    whole, seen = features.mean(1), features[:, :symmetries].mean(1)
    weights = balanced_weights(labels, classes)
    folds = deal_out(labels, FOLDS, 0, real.groups)
    best: tuple[float, float, Tensor] | None = None
    for penalty in SOFTMAX_PENALTIES:
        left_out = torch.empty(len(labels), classes)
        for fold in range(FOLDS):
            out, kept = folds == fold, folds != fold
            head = softmax_regression(whole[kept], labels[kept], weights[kept], classes, penalty)
            left_out[out] = head.scores(seen[out])
        loss = _cross_entropy(left_out, labels, weights)
        if best is None or loss < best[0]:
            best = loss, penalty, left_out
    assert best is not None
    _, penalty, left_out = best

    def again(features: Tensor, labels: Tensor, weights: Tensor) -> LinearHead:
        return softmax_regression(features.mean(1), labels, weights, classes, penalty)

    return _Chosen(again(features, labels, weights), left_out, penalty, again)


def _ensemble(features: Tensor, real: RealViews, classes: int, symmetries: int) -> _Chosen:
    """Fit ridge and prototypes, and take the mean of their log-probabilities.

    Log-probabilities are scaled scores less a number that is the same for all classes, so their
    mean has the probabilities of the mean scaled scores, which are linear in the features, too.
    """
    weights = balanced_weights(real.labels, classes)
    members = [fit(features, real, classes, symmetries) for fit in (_ridge, _prototypes)]
    scales = [best_scale(one.left_out, real.labels, weights) for one in members]

    def mean(heads: Sequence[LinearHead]) -> LinearHead:
        scaled = [head.scaled(scale) for head, scale in zip(heads, scales, strict=True)]
        return LinearHead(*(torch.stack(part).mean(0) for part in zip(*scaled, strict=True)))

    def again(features: Tensor, labels: Tensor, weights: Tensor) -> LinearHead:
        return mean([one.again(features, labels, weights) for one in members])

    left_out = [one.left_out * scale for one, scale in zip(members, scales, strict=True)]
    head = mean([one.head for one in members])
    return _Chosen(head, torch.stack(left_out).mean(0), members[0].penalty, again)


FITS: Mapping[HeadName, Callable[[Tensor, RealViews, int, int], _Chosen]] = {
    "ridge": _ridge,
    "prototypes": _prototypes,
    "softmax": _softmax,
    "ensemble": _ensemble,
}


def _cross_entropy(scores: Tensor, labels: Tensor, weights: Tensor) -> float:
    losses = torch.nn.functional.cross_entropy(scores, labels, reduction="none")
    return float((weights * losses).mean())
