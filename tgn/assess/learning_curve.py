"""Accuracy of classes at several numbers of training images, measured by thinning them.

Two kinds of thinning. *Rare*: all rare classes keep 25, 50 or 75% of their images, or leave out a
fold of ten. *Frequent*: half of the frequent classes, drawn at random, keep as few images as rare
classes have, then twice and four times as many, and so on: what more images bring is known there.
Other classes stay whole. Accuracies are of the images thinned out, which the fit has not seen. (An
image left out in closed form leaves its class with less weight, so that classes of a few images
look worse than they are.)
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tgn.assess.refits import Refitter, class_folds
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import generator

SHARES = (0.25, 0.5, 0.75)
WHOLE = 1.0  # all but the fold that is looked at
FOLDS = 10
OF_FREQUENT = 0.0  # in place of a share, where frequent classes are thinned
LARGEST_LEVEL_SHARE = 0.8  # of a frequent class's images: the rest shows the accuracy


class Observation(NamedTuple):
    """Accuracy of a class at a number of training images."""

    label: int
    num_images: int  # training images of the class
    accuracy: float  # mean over repeats
    images: float  # how many distinct images it is of, at most


class Thinning(NamedTuple):
    """One way to thin the training images: rows that stay, and the classes that were thinned."""

    rows: Tensor
    thinned: tuple[int, ...]
    share: float  # of the rare classes


def measure_curves(
    refitter: Refitter, rare: Sequence[int], repeats: int, seed: int, progress: Progress
) -> tuple[list[Observation], dict[float, float]]:
    """Fit to thinned sets; return the accuracies of thinned classes at each count.

    Args:
        refitter: of all training images.
        rare: class indices; all others are frequent.
        repeats: random choices of the images that stay.
        seed: of the choices.
        progress: counts fits.

    Returns:
        The observations, and the mean accuracy at each share of their images of those rare classes
        that were measured at every share.
    """
    plans = list(_plans(refitter, rare, repeats, seed))
    progress.start("learning curves", len(plans))
    sizes = torch.bincount(refitter.labels, minlength=refitter.classes).tolist()
    hits: dict[tuple[int, int], Tensor] = defaultdict(lambda: torch.zeros(2))
    curve: dict[float, dict[int, Tensor]] = defaultdict(lambda: defaultdict(lambda: torch.zeros(2)))
    for plan in plans:
        found = _hits(refitter, plan.rows)
        for label in plan.thinned:
            if seen := int(found[label, 1]):
                hits[label, sizes[label] - seen] += found[label]
                curve[plan.share][label] += found[label]
        progress.advance()
    observations = [
        Observation(label, count, float(good / trials), min(float(trials), sizes[label]))
        for (label, count), (good, trials) in sorted(hits.items())
    ]
    curve.pop(OF_FREQUENT, None)
    return observations, _class_means(curve)


def _hits(refitter: Refitter, rows: Tensor) -> Tensor:
    """Return how many images that a fit to some has not seen are right, and how many there are.

    Of each class, [C, 2].
    """
    out = torch.ones(len(refitter.labels), dtype=torch.bool)
    out[rows] = False
    labels, right = refitter.labels[out], refitter.are_right(rows)[out]
    counts = [torch.bincount(part, minlength=refitter.classes) for part in (labels[right], labels)]
    return torch.stack(counts, dim=1).float()


def _class_means(curve: Mapping[float, Mapping[int, Tensor]]) -> dict[float, float]:
    """Return the mean accuracy at each share of the classes that were measured at every share.

    A class of two images keeps both at 75%: with it, one point would be of other classes.
    """
    classes = set.intersection(*(set(table) for table in curve.values()))
    return {
        share: sum(float(table[k][0] / table[k][1]) for k in classes) / len(classes)
        for share, table in curve.items()
    }


def _plans(refitter: Refitter, rare: Sequence[int], repeats: int, seed: int) -> Iterator[Thinning]:
    labels, groups = refitter.labels, refitter.groups
    counts = torch.bincount(labels).tolist()
    frequent = [k for k in range(len(counts)) if k not in set(rare)]
    for repeat in range(repeats):
        for share in SHARES:
            keep = {k: max(1, round(share * counts[k])) for k in rare}
            yield Thinning(_kept(labels, keep, seed, repeat), tuple(rare), share)
    folds = class_folds(labels, FOLDS, seed, groups)
    is_rare = torch.isin(labels, torch.tensor(list(rare)))
    for fold in range(FOLDS):
        yield Thinning((~(is_rare & (folds == fold))).nonzero().flatten(), tuple(rare), WHOLE)
    for level in levels([counts[k] for k in rare], [counts[k] for k in frequent]):
        able = [k for k in frequent if level <= LARGEST_LEVEL_SHARE * counts[k]]
        for repeat in range(repeats):
            order = torch.randperm(len(able), generator=generator(seed, "classes", level, repeat))
            chosen = tuple(sorted(able[i] for i in order[: max(1, len(able) // 2)].tolist()))
            rows = _kept(labels, dict.fromkeys(chosen, level), seed, repeat)
            yield Thinning(rows, chosen, OF_FREQUENT)


def levels(rare: Sequence[int], frequent: Sequence[int]) -> list[int]:
    """Return the counts to which frequent classes are thinned: of rare classes, doubled on."""
    smallest, largest = max(2, min(rare)), max(frequent, default=0) * LARGEST_LEVEL_SHARE
    found = []
    while smallest <= largest:
        found.append(smallest)
        smallest *= 2
    return found


def _kept(labels: Tensor, keep: dict[int, int], seed: int, repeat: int) -> Tensor:
    """Return the rows of all classes, but of each class in ``keep`` only so many, at random."""
    kept = torch.ones(len(labels), dtype=torch.bool)
    for label, count in keep.items():
        rows = (labels == label).nonzero().flatten()
        draw = generator(seed, "thinned", label, count, repeat)
        kept[rows[torch.randperm(len(rows), generator=draw)[count:]]] = False
    return kept.nonzero().flatten()
