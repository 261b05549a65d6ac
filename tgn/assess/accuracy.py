"""Accuracy of quick classifiers on images that they have not seen, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tgn.assess.features import AssessedImages
from tgn.assess.refits import class_folds
from tgn.data.split import Split
from tgn.data.splits.class_profiles import shot_groups
from tgn.metrics.classification import confusion_of, recalls
from tgn.probe.fit import Normalisation, RealViews, fit_probe, own_groups
from tgn.probe.linear import LinearHead, balanced_weights, prototypes, softmax_regression
from tgn.probe.ridge import fit_ridge, ridge_head
from tgn.probe.settings import HeadName
from tgn.runtime.progress import Progress

FOLDS = 10
NORMAL_95 = 1.96
WEIGHTED = "ridge"
PLAIN = "ridge, classes not weighted"  # the same but for the weights
ZERO_SHOT = "CLIP, zero-shot"
RECIPES: dict[str, HeadName] = {
    WEIGHTED: "ridge",
    "prototypes": "prototypes",
    "softmax regression": "softmax",
}
TOP_CONFUSIONS = 12


class Scored(NamedTuple):
    """One recipe's scores.

    Attributes:
        left_out: of the training images, each by a fit without its fold, [N, C].
        test: of the test images by a fit to all training images, [M, C].
    """

    left_out: Tensor
    test: Tensor


class _Recipe(NamedTuple):
    """A recipe with its hyperparameters, chosen on all training images."""

    head: HeadName
    penalty: float | None
    scale: float = 1.0
    balanced: bool = True


def score_recipes(
    images: AssessedImages, classes: int, seed: int, progress: Progress
) -> dict[str, Scored]:
    """Fit the quick recipes; every class weighs the same, but for the plain one.

    The plain one is ridge in all else: the same features, centred and of unit length, and a
    penalty chosen likewise. The difference of the two is what the weights bring.

    Args:
        images: training and test images, their features reduced: fits then take seconds.
        classes: C.
        seed: of the folds.
        progress: counts recipes.
    """
    train, test = (table.features[:, None] for table in (images.train, images.test))
    labels, groups = images.train.labels, images.train.groups
    folds = class_folds(labels, FOLDS, seed, groups)
    progress.start("quick classifiers", len(RECIPES) + 1)
    parts = [(train.shape[2],)]
    normalisation = Normalisation((train.mean((0, 1)),), tuple(parts))
    features, unseen = (normalisation.joined([table])[:, 0] for table in (train, test))
    found = {}
    for name, head in RECIPES.items():
        fitted = fit_probe(RealViews([train], labels, groups), parts, classes, head, 1)
        recipe = _Recipe(head, fitted.penalty, fitted.scale)
        left_out = _left_out(features, labels, classes, folds, recipe)
        found[name] = Scored(left_out, fitted.head.scores(unseen))
        progress.advance()
    alike = torch.ones(len(labels))
    plain = fit_ridge(features, labels, alike, own_groups(labels, groups), classes)
    recipe = _Recipe("ridge", plain.penalty, balanced=False)
    left_out = _left_out(features, labels, classes, folds, recipe)
    progress.advance()
    return {**found, PLAIN: Scored(left_out, plain.head.scores(unseen))}


def _left_out(
    features: Tensor, labels: Tensor, classes: int, folds: Tensor, recipe: _Recipe
) -> Tensor:
    """Return the scores [N, C] of each image by a fit without its fold; 0 if it is in none."""
    scores = torch.zeros(len(labels), classes)
    for fold in range(FOLDS):
        out = folds == fold
        if bool(out.any()):
            head = _fit(features[~out], labels[~out], classes, recipe)
            scores[out] = head.scores(features[out]) * recipe.scale
    return scores


def _fit(features: Tensor, labels: Tensor, classes: int, recipe: _Recipe) -> LinearHead:
    if recipe.penalty is None:
        return prototypes(features, labels, classes)
    weights = balanced_weights(labels, classes) if recipe.balanced else torch.ones(len(labels))
    if recipe.head == "softmax":
        return softmax_regression(features, labels, weights, classes, recipe.penalty)
    return ridge_head(features, labels, weights, classes, recipe.penalty)


def class_groups(split: Split) -> dict[str, list[int]]:
    """Return the class indices of all, head, tail, many, medium and few; groups may be empty.

    Many, medium and few: over 100, 20 to 100 and under 20 training images.
    """
    shots = shot_groups([entry.train + entry.val for entry in split.classes])
    by_count = {
        name: [k for k, shot in enumerate(shots) if shot == name]
        for name in ("many", "medium", "few")
    }
    return {
        "balanced": list(range(split.num_classes)),
        "head": list(split.head_classes),
        "tail": list(split.tail_classes),
        **by_count,
    }


def accuracy_of(
    scores: Tensor, labels: Tensor, groups: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Return the class-mean accuracy of each group with its 95% interval, and that of each class.

    Args:
        scores: [N, C].
        labels: [N].
        groups: class indices.
    """
    confusion = confusion_of(scores, labels)
    values = recalls(confusion)
    return {
        **{name: group_interval(confusion, classes) for name, classes in groups.items()},
        "per_class": [None if value.isnan() else float(value) for value in values],
    }


def group_interval(confusion: Tensor, classes: Sequence[int]) -> dict[str, float | None]:
    """Return the mean of the accuracies of classes and the ends of its 95% interval.

    Binomial over images, normal over classes. For the width one hit and one miss are added to
    each class, as Agresti and Caffo 2000 add them to each of two samples; the centre is the mean
    observed, theirs is of the counts with the additions.
    """
    rows = confusion[list(classes)].double() if classes else confusion[:0].double()
    counts, hits = rows.sum(1), confusion.diagonal()[list(classes)].double()
    counts, hits = counts[counts > 0], hits[counts > 0]
    if len(counts) == 0:
        return {"accuracy": None, "low": None, "high": None}
    share = (hits + 1) / (counts + 2)
    error = float((share * (1 - share) / (counts + 2)).sum().sqrt() / len(counts))
    mean = float((hits / counts).mean())
    low, high = mean - NORMAL_95 * error, mean + NORMAL_95 * error
    return {"accuracy": mean, "low": max(low, 0.0), "high": min(high, 1.0)}


def top_confusions(scores: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Return which classes are taken for which, the largest share of a class first."""
    confusion = confusion_of(scores, labels)
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    shares.fill_diagonal_(0)
    order = shares.flatten().argsort(descending=True, stable=True)[:TOP_CONFUSIONS].tolist()
    classes = len(confusion)
    return [
        {
            "label": place // classes,
            "taken_for": place % classes,
            "images": int(confusion.flatten()[place]),
            "share": float(shares.flatten()[place]),
        }
        for place in order
        if float(shares.flatten()[place]) > 0
    ]


def best_recipe(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the recipe with the highest class-mean accuracy of training images left out.

    CLIP is no candidate: the curves and the advice are those of classifiers that learn.
    """
    weighted = [name for name in results if name not in (PLAIN, ZERO_SHOT)]
    return max(weighted, key=lambda name: results[name]["left_out"]["balanced"]["accuracy"])
