"""What more images of the rare classes are worth, and how sure that is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tgn.assess.curve_model import Array, CurveModel, fit_curves, plausibilities
from tgn.assess.learning_curve import Observation
from tgn.runtime.seeds import generator

FACTORS = (2, 4, 8)
ADVISED_FACTOR = 4  # the advice is about so many times as many images
RESAMPLES = 100
INTERVAL = (2.5, 97.5)  # percentiles


class Gain(NamedTuple):
    """Predicted gain of the rare classes from so many times their images.

    Attributes:
        factor: 2, 4 or 8.
        accuracy: class mean with so many images, predicted.
        gain: over today.
        low: lower end of the 95% interval of the gain.
        high: upper end.
    """

    factor: int
    accuracy: float
    gain: float
    low: float
    high: float


class ClassFuture(NamedTuple):
    """A class today and with four times its images, as the model has it.

    A class is pulled to the mean of its group the more the fewer images it has.
    """

    images: int
    accuracy: float
    gain: float
    low: float
    high: float


class Extrapolation(NamedTuple):
    """What the model says.

    Attributes:
        today: class-mean accuracy of rare classes, smoothed by the model.
        gains: a factor each.
        per_class: index of each class that was thinned to its future.
        model: slope and bend, for the record.
    """

    today: float
    gains: tuple[Gain, ...]
    per_class: dict[int, ClassFuture]
    model: dict[str, Any]


def extrapolate(
    observations: Sequence[Observation], counts: Sequence[int], rare: Sequence[int], seed: int
) -> Extrapolation:
    """Predict the accuracy of rare classes with 2, 4 and 8 times their images.

    The mean over models of several bends, by their likelihood. The interval: the 2.5th and 97.5th
    percentile over resamples, in which classes are drawn with replacement, rare and frequent ones
    apart, every observed accuracy is drawn anew (binomial), and a bend by its likelihood.

    Args:
        observations: of thinned classes.
        counts: training images of each class, [C].
        rare: class indices.
        seed: of the resamples.
    """
    seen = sorted({one.label for one in observations})
    now = np.array([counts[k] for k in seen], dtype=float)
    models = fit_curves(observations, rare, np.ones(len(counts)))
    shares = plausibilities(models)
    futures = _futures(models, shares, seen, now)
    resampled, drawn = _resamples(observations, len(counts), rare, seen, now, seed)
    is_rare = np.isin(seen, list(rare))
    weights, today = drawn[:, is_rare], float(futures[0][is_rare].mean())
    gains = []
    for place, factor in enumerate(FACTORS, start=1):
        changes = (resampled[:, place] - resampled[:, 0])[:, is_rare]
        low, high = np.percentile((weights * changes).sum(1) / weights.sum(1), INTERVAL)
        accuracy = futures[place][is_rare].mean()
        gain = accuracy - today
        ends = min(low, gain), max(high, gain)  # the interval holds the estimate itself
        gains.append(Gain(factor, *map(float, (accuracy, gain, *ends))))
    place = 1 + FACTORS.index(ADVISED_FACTOR)
    changes, change = resampled[:, place] - resampled[:, 0], futures[place] - futures[0]
    per_class = {
        label: ClassFuture(
            counts[label],
            float(futures[0][i]),
            float(change[i]),
            *class_interval(changes[:, i], drawn[:, i], float(change[i])),
        )
        for i, label in enumerate(seen)
    }
    return Extrapolation(today, tuple(gains), per_class, _summary(models, shares))


def class_interval(changes: Array, drawn: Array, estimate: float) -> tuple[float, float]:
    """Return the ends of the 95% interval of a class's gain; it holds the estimate itself.

    A resample without the class knows it by the mean of its group alone and does not count.

    Args:
        changes: gain of the class in each resample, [S].
        drawn: how often each resample has the class, [S].
        estimate: the gain by all observations.
    """
    known = changes[drawn > 0]
    low, high = np.percentile(known, INTERVAL) if len(known) else (estimate, estimate)
    return min(float(low), estimate), max(float(high), estimate)


def _summary(models: Sequence[CurveModel], shares: Array) -> dict[str, Any]:
    """Return the mean slope and the share of each bend."""
    return {
        "slope": float(sum(s * m.slope for s, m in zip(shares, models, strict=True))),
        "bends": {str(m.bend): float(s) for s, m in zip(shares, models, strict=True)},
    }


def _futures(
    models: Sequence[CurveModel], shares: Array, labels: Sequence[int], now: Array
) -> list[Array]:
    """Return the accuracies of classes today and at each factor, means over models."""
    return [
        np.sum(
            [s * m.accuracy(labels, now * f) for s, m in zip(shares, models, strict=True)], axis=0
        )
        for f in (1, *FACTORS)
    ]


def _resamples(
    observations: Sequence[Observation],
    classes: int,
    rare: Sequence[int],
    seen: Sequence[int],
    now: Array,
    seed: int,
) -> tuple[Array, Array]:
    """Return accuracies [S, 1 + factors, classes seen] and how often each class was drawn."""
    draw = np.random.default_rng(generator(seed, "resampled curves").initial_seed())
    groups = [k for k in seen if k in set(rare)], [k for k in seen if k not in set(rare)]
    found, drawn = [], []
    for _ in range(RESAMPLES):
        weights = np.zeros(classes)
        for group in groups:
            if group:
                weights[group] = draw.multinomial(len(group), np.full(len(group), 1 / len(group)))
        anew = [_drawn(one, draw) for one in observations]
        models = fit_curves(anew, rare, weights)
        model = models[draw.choice(len(models), p=plausibilities(models))]
        found.append([model.accuracy(seen, now * factor) for factor in (1, *FACTORS)])
        drawn.append(weights[list(seen)])
    return np.array(found), np.array(drawn)


def _drawn(one: Observation, draw: np.random.Generator) -> Observation:
    images = max(round(one.images), 1)
    return one._replace(accuracy=draw.binomial(images, one.accuracy) / images)
