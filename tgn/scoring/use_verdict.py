"""The verdict on generated images: of which classes they help to tell real ones, if of any."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from tgn.metrics.shrinkage import Posterior, shrunk
from tgn.probe.gain import STATISTICS, Gains, Measured, gains

NORMAL_95 = 1.96
HUNDRED = 100  # accuracies are told in points, the other statistics in hundredths
USE = "use"
NONE_LEFT = "no image is left of classes with few real ones"
DO_NOT_USE = "do not generate for this class"
CHANGES = {
    "right": "their accuracy changes by {} points",
    "margin": "the margin of their scores changes by {} hundredths",
    "error": "the squared error of their scores falls by {} hundredths",
}


class Expected(NamedTuple):
    """Gains of the drawn classes and of all of them together, by one statistic.

    Attributes:
        classes: drawn towards their mean, each [G].
        pooled: mean over the classes of what their images change together.
        pooled_deviation: standard deviation of its error.
    """

    classes: Posterior
    pooled: float
    pooled_deviation: float


@dataclass(frozen=True)
class UseVerdict:
    """Of which classes generated images are to be used.

    Attributes:
        folders: of the drawn classes, G.
        images: how many of each were left by the other tests.
        keep: whether those of a class are used.
        gains: by each statistic.
        statistic: the one that decided.
        unknown: how many images are of unknown sources, which no fit can be kept from seeing.
    """

    folders: Sequence[str]
    images: Sequence[int]
    keep: Sequence[bool]
    gains: Mapping[str, Expected]
    statistic: str
    unknown: int

    @property
    def sentence(self) -> str:
        """The verdict, for people: what to do, what decided, and what accuracy does."""
        if not self.folders:
            return f"do not generate: {NONE_LEFT}"
        if not any(self.keep):
            return f"do not generate: no gain is to be relied on; {self.evidence}"
        return f"use the images of {self._used}; {self.evidence}"

    @property
    def answer(self) -> str:
        """The verdict as an answer to whether the images help."""
        if not self.folders:
            return f"No, these images would not be used: {NONE_LEFT}."
        if not any(self.keep):
            return f"No, these images would not help: {self.evidence}."
        return f"Yes, use these images, those of {self._used}: {self.evidence}."

    @property
    def _used(self) -> str:
        return f"{sum(self.keep)} of {len(self.keep)} classes"

    @property
    def evidence(self) -> str:
        """What decided and what accuracy does, as a part of a sentence."""
        changes = [
            CHANGES[name].format(self._pooled_text(name))
            for name in dict.fromkeys((self.statistic, "right"))
        ]
        said = (
            "with those of all classes, for left-out real images of a class, "
            f"{', and '.join(changes)}"
        )
        if self.unknown:
            said += (
                f"; {self.unknown} images are of unknown sources, which the fits may have seen: "
                "the gain may be too high"
            )
        return said

    def rows(self) -> list[dict[str, Any]]:
        """Return what is expected of each class, with intervals, and what to do.

        ``gain`` is by the statistic that decided, in hundredths; ``accuracy`` is in points.
        """
        if not self.folders:
            return []
        found: list[dict[str, Any]] = [
            {"class": folder, "images": images, "advice": USE if keep else DO_NOT_USE}
            for folder, images, keep in zip(self.folders, self.images, self.keep, strict=True)
        ]
        for prefix, name in (("", self.statistic), ("accuracy_", "right")):
            mean, deviation = self.gains[name].classes
            for row, own, error in zip(found, mean.tolist(), deviation.tolist(), strict=True):
                low, row[f"{prefix}gain"], high = interval(own, error)
                row |= {f"{prefix}low": _finite(low), f"{prefix}high": _finite(high)}
        return found

    def report(self) -> dict[str, Any]:
        """Return everything for a result file: as :meth:`rows`, and the statistics as they are."""
        if not self.folders:
            known = {"helps": False, "statistic": self.statistic}
            return {"sentence": self.sentence, **known, "classes": []}
        return {
            "sentence": self.sentence,
            "helps": any(self.keep),
            "statistic": self.statistic,
            "images_of_unknown_source": self.unknown,
            "pooled": self._pooled(self.statistic),
            "pooled_accuracy": self._pooled("right"),
            "classes": self.rows(),
            "statistics": {
                name: {
                    "gain": expected.classes.mean.tolist(),
                    "deviation": [*map(_finite, expected.classes.deviation.tolist())],
                    "pooled": expected.pooled,
                    "pooled_deviation": _finite(expected.pooled_deviation),
                }
                for name, expected in self.gains.items()
            },
        }

    def _pooled(self, name: str) -> dict[str, float | None]:
        expected = self.gains[name]
        low, mid, high = interval(expected.pooled, expected.pooled_deviation)
        return {"gain": mid, "low": _finite(low), "high": _finite(high)}

    def _pooled_text(self, name: str) -> str:
        expected = self.gains[name]
        low, mid, high = interval(expected.pooled, expected.pooled_deviation)
        return f"{mid:+.1f} (95%: {low:+.1f} to {high:+.1f})"


def expected_gains(measured: Measured) -> dict[str, Expected]:
    """Return the gains by each statistic, those of the classes drawn towards their mean."""
    return {name: _expected(gains(measured, name)) for name in STATISTICS}


def classes_to_use(expected: Expected) -> Tensor:
    """Return of which classes the images are used, bool [G]: the rule of the filter by gain.

    Those that are expected to gain; none, where all together are not clearly harmless: where the
    95% interval of their pooled gain reaches below 0.
    """
    is_harmless = expected.pooled >= NORMAL_95 * expected.pooled_deviation
    return (expected.classes.mean > 0) & is_harmless


def interval(mean: float, deviation: float) -> tuple[float, float, float]:
    """Return low end, middle and high end of a 95% interval, times 100."""
    half = NORMAL_95 * deviation
    return HUNDRED * (mean - half), HUNDRED * mean, HUNDRED * (mean + half)


def _expected(found: Gains) -> Expected:
    return Expected(shrunk(found.value, found.variance), found.pooled, found.pooled_variance**0.5)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
