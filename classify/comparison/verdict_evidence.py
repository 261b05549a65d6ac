"""What the verdict of a comparison rests on: the best recipes and their differences over the seeds.

Recipes are chosen by the test images, for want of others that all of them were measured on: a probe
leaves its training images out one by one, a network is validated on the validation part, and only
if every class has images there. The sentence says so.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classify.training.recipes import recipe

HEAD_LOSS = 0.005  # of the head's accuracy, that a gain on the tail may cost
NO_SPREAD = 1e-9  # of differences over seeds: what is smaller comes from rounding


@dataclass(frozen=True)
class Score:
    """Mean accuracies of a recipe over the seeds, in [0, 1]."""

    recipe: str
    tail: float
    head: float


@dataclass(frozen=True)
class Difference:
    """Difference of two recipes, paired by seed, in [-1, 1].

    Attributes:
        mean: over the seeds.
        error: standard error of the mean; 0 where seeds show no spread.
        low: lower end of the 95% interval (Student's t over seeds); None where seeds show no
            spread: there is one, or all have the same difference.
        high: upper end, or None.
    """

    mean: float
    error: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Rival:
    """A recipe, and what it reaches less what ``against`` reaches."""

    score: Score
    against: Score
    tail: Difference
    head: Difference


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on.

    Attributes:
        seeds: of every recipe.
        num_without: recipes without generated images.
        num_with: recipes with them.
        plain: the recipe to use without generated images, or with them if there is no other: the
            first in the list that is within one standard error of the best on the tail and keeps
            the head.
        rival: the best recipe with generated images (of those that gain and keep the head, if any
            does) against the best without; if there is one kind only, the next best one against
            ``plain``; None for a single recipe.
    """

    seeds: int
    num_without: int
    num_with: int
    plain: Score
    rival: Rival | None


def gathered(table: Mapping[str, Any]) -> Evidence | None:
    """Choose the recipes to speak of, among those that train on all real images.

    Returns:
        None if there is none, or if no head class or no tail class has test images.
    """
    rows = table["recipes"]
    if any(not {"tail", "head"} <= row.keys() for row in rows.values()):
        return None
    whole = [name for name in rows if recipe(name).images == "all"]
    without = [name for name in whole if not recipe(name).generated]
    with_them = [name for name in whole if recipe(name).generated]
    kind = without or with_them
    if not kind:
        return None
    best = max(kind, key=lambda name: _score(rows, name).tail)
    plain = next(name for name in kind if name == best or _ties(_rival(rows, name, best)))
    against, names = (
        (best, with_them)
        if without and with_them
        else (plain, [name for name in kind if name != plain])
    )
    rivals = [_rival(rows, name, against) for name in names]
    rival = max(rivals, key=_merit, default=None)
    return Evidence(table["seeds"], len(without), len(with_them), _score(rows, plain), rival)


def _score(rows: Mapping[str, Any], name: str) -> Score:
    return Score(name, rows[name]["tail"]["mean"], rows[name]["head"]["mean"])


def _rival(rows: Mapping[str, Any], name: str, against: str) -> Rival:
    tail, head = (
        _difference(rows[name][group]["values"], rows[against][group]["values"])
        for group in ("tail", "head")
    )
    return Rival(_score(rows, name), _score(rows, against), tail, head)


def _difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    from scipy import stats  # seconds to import

    values = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, n = statistics.fmean(values), len(values)
    if n < 2 or (spread := statistics.stdev(values)) < NO_SPREAD:
        return Difference(mean, 0.0, None, None)
    error = spread / n**0.5
    half = float(stats.t.ppf(0.975, n - 1)) * error
    return Difference(mean, error, mean - half, mean + half)


def _ties(with_best: Rival) -> bool:
    """Whether a recipe is within one standard error of the best on the tail and keeps the head."""
    return with_best.tail.mean >= -with_best.tail.error and keeps_head(with_best)


def _merit(rival: Rival) -> tuple[bool, float]:
    """Return what the best is chosen by: not its interval, which may be narrow by chance."""
    return rival.tail.mean > 0 and keeps_head(rival), rival.score.tail


def keeps_head(rival: Rival) -> bool:
    """Whether the head loses no more than a gain on the tail may cost, on average."""
    return rival.head.mean >= -HEAD_LOSS
