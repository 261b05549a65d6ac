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
    softmax_regression,
)
from tgn.probe.ridge import fit_ridge
from tgn.probe.settings import HeadName

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


class _Scores(NamedTuple):
    """A head and the scores [N, C] of images left out."""

    head: LinearHead
    left_out: Tensor
    penalty: float | None


def fit_probe(
    tables: Sequence[Tensor],
    parts: Sequence[tuple[int, ...]],
    labels: Tensor,
    classes: int,
    head: HeadName,
    symmetries: int,
) -> FittedProbe:
    """Fit a head to the views of the training images; every class weighs the same.

    Hyperparameters are chosen on the training images: lambda of ridge by leaving each image out
    in closed form, the penalty of softmax regression by 5-fold cross-validation, and the scale
    of the scores, which makes them logits, by the images left out.

    Args:
        tables: features by each network, [N, V, D]; the first ``symmetries`` views are those of
            which a test image has, too.
        parts: how many features each part has, a network.
        labels: [N].
        classes: C.
        head: which.
        symmetries: S <= V.
    """
    normalisation = Normalisation(tuple(table.mean((0, 1)) for table in tables), tuple(parts))
    features = normalisation.joined(tables)
    found = FITS[head](features, labels, classes, symmetries)
    scale = best_scale(found.left_out, labels, balanced_weights(labels, classes))
    left_out = found.left_out * scale
    return FittedProbe(found.head.scaled(scale), normalisation, found.penalty, scale, left_out)


def _ridge(features: Tensor, labels: Tensor, classes: int, symmetries: int) -> _Scores:
    images, views, dimension = features.shape
    rows = labels.repeat_interleave(views)
    fit = fit_ridge(
        features.view(-1, dimension),
        rows,
        balanced_weights(rows, classes),
        torch.arange(images).repeat_interleave(views),
        classes,
    )
    left_out = fit.left_out.view(images, views, classes)[:, :symmetries].mean(1)
    return _Scores(fit.head, left_out, fit.penalty)


def _prototypes(features: Tensor, labels: Tensor, classes: int, symmetries: int) -> _Scores:
    """Fit class means; an image left out is taken off its class mean."""
    whole, seen = features.mean(1), features[:, :symmetries].mean(1)
    head = prototypes(whole, labels, classes)
    counts = torch.bincount(labels, minlength=classes)[labels][:, None]
    others = (counts * head.weight[labels] - whole) / (counts - 1).clamp(min=1)
    scores = head.scores(seen)
    own = (others * seen).sum(1) - others.square().sum(1) / 2
    return _Scores(head, scores.scatter(1, labels[:, None], own[:, None]), None)


def _softmax(features: Tensor, labels: Tensor, classes: int, symmetries: int) -> _Scores:
    """Fit softmax regression to the images' mean views, its penalty chosen by folds."""
    whole, seen = features.mean(1), features[:, :symmetries].mean(1)
    weights = balanced_weights(labels, classes)
    folds = deal_out(labels, FOLDS, seed=0)
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
    return _Scores(softmax_regression(whole, labels, weights, classes, penalty), left_out, penalty)


def _ensemble(features: Tensor, labels: Tensor, classes: int, symmetries: int) -> _Scores:
    """Fit ridge and prototypes, and take the mean of their log-probabilities.

    Log-probabilities are scaled scores less a number that is the same for all classes, so their
    mean has the probabilities of the mean scaled scores, which are linear in the features, too.
    """
    weights = balanced_weights(labels, classes)
    members = [fit(features, labels, classes, symmetries) for fit in (_ridge, _prototypes)]
    scales = [best_scale(one.left_out, labels, weights) for one in members]
    heads = [one.head.scaled(scale) for one, scale in zip(members, scales, strict=True)]
    head = LinearHead(*(torch.stack(part).mean(0) for part in zip(*heads, strict=True)))
    left_out = [one.left_out * scale for one, scale in zip(members, scales, strict=True)]
    return _Scores(head, torch.stack(left_out).mean(0), members[0].penalty)


FITS: Mapping[HeadName, Callable[[Tensor, Tensor, int, int], _Scores]] = {
    "ridge": _ridge,
    "prototypes": _prototypes,
    "softmax": _softmax,
    "ensemble": _ensemble,
}


def _cross_entropy(scores: Tensor, labels: Tensor, weights: Tensor) -> float:
    losses = torch.nn.functional.cross_entropy(scores, labels, reduction="none")
    return float((weights * losses).mean())
