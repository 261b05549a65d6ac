"""Selection by use: of which classes generated images help to tell real ones, if of any."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.splits.folds import deal_out
from tgn.metrics.shrinkage import Posterior, shrunk
from tgn.models.feature_cache import FeatureCache
from tgn.probe.features import FrozenNetwork, frozen_networks, symmetric_views
from tgn.probe.fit import Normalisation
from tgn.probe.gain import STATISTICS, Gains, Measured, ViewRows, gains, measure_gains
from tgn.probe.linear import balanced_weights
from tgn.probe.principal_components import principal_basis
from tgn.probe.ridge import fit_ridge
from tgn.probe.settings import SymmetrySettings
from tgn.runtime.errors import UserError
from tgn.scoring.compared_sets import ComparedSets
from tgn.scoring.filter_criteria import CriterionResult
from tgn.scoring.settings import UseFilterSettings

DIMENSIONS = 384  # principal components kept: what is beyond them hardly changes a score
NORMAL_95 = 1.96
NO_GAIN = "no gain for its class"
NO_GAIN_AT_ALL = "no gain by any class"
POINTS = 100


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
        """The verdict, for people."""
        if not self.folders:
            return "do not generate: no image passes the tests of single images"
        low, mid, high = self._pooled_points()
        together = f"{mid:+.1f} points a class (95%: {low:+.1f} to {high:+.1f})"
        if not any(self.keep):
            said = f"do not generate: no gain is to be relied on; together {together}"
        else:
            used = sum(self.keep)
            said = f"use the images of {used} of {len(self.keep)} classes; together {together}"
        if self.unknown:
            said += (
                f"; {self.unknown} images are of unknown sources, which the fits may have seen: "
                "the gain may be too high"
            )
        return said

    def rows(self) -> list[dict[str, Any]]:
        """Return what is expected of each class: points with their interval, and what to do."""
        if not self.folders:
            return []
        posterior = self._points.classes
        pairs = zip(posterior.mean.tolist(), posterior.deviation.tolist(), strict=True)
        points = [_interval(mean, deviation) for mean, deviation in pairs]
        return [
            {
                "class": folder,
                "images": images,
                "gain": mid,
                "low": _finite(low),
                "high": _finite(high),
                "advice": "use" if keep else "do not generate for this class",
            }
            for folder, images, keep, (low, mid, high) in zip(
                self.folders, self.images, self.keep, points, strict=True
            )
        ]

    def report(self) -> dict[str, Any]:
        """Return everything for ``filter.json``: in points, but the statistics as they are."""
        if not self.folders:
            return {"sentence": self.sentence, "classes": []}
        low, mid, high = self._pooled_points()
        return {
            "sentence": self.sentence,
            "statistic": self.statistic,
            "images_of_unknown_source": self.unknown,
            "pooled": {"gain": mid, "low": _finite(low), "high": _finite(high)},
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

    @property
    def _points(self) -> Expected:
        """Gains in accuracy, whichever statistic decides."""
        return self.gains["right"]

    def _pooled_points(self) -> tuple[float, float, float]:
        return _interval(self._points.pooled, self._points.pooled_deviation)


def classes_to_use(expected: Expected) -> Tensor:
    """Return of which classes the images are used, bool [G]: the rule of the filter by gain.

    Those that are expected to gain; none, where all together are not clearly harmless: where the
    95% interval of their pooled gain reaches below 0.
    """
    is_harmless = expected.pooled >= NORMAL_95 * expected.pooled_deviation
    return (expected.classes.mean > 0) & is_harmless


def use_networks(sets: ComparedSets, settings: UseFilterSettings) -> list[FrozenNetwork]:
    """Return the networks in whose features the gain is measured.

    Raises:
        UserError: for an unknown network, or without classes to tell apart.
    """
    if not sets.has_several_classes:
        raise UserError(
            "--by use got images of one class, expected class folders of two or more, with real "
            "images of each; use --by quality"
        )
    return frozen_networks(_views(sets, settings), tuple(sets.class_folders))


def judge_use(
    sets: ComparedSets,
    left: Tensor,
    networks: Sequence[FrozenNetwork],
    settings: UseFilterSettings,
    cache: FeatureCache,
) -> UseVerdict:
    """Measure at left-out real images what the generated images of each class bring.

    Args:
        sets: with two or more classes.
        left: rows of generated images that the other tests left.
        networks: of :func:`use_networks`.
        settings: of the features, the folds and the rule.
        cache: where features are kept.
    """
    if len(left) == 0:
        return UseVerdict([], [], [], {}, settings.statistic, 0)
    drawn = sets.generated.subset(left)
    views = _views(sets, settings)
    real, generated, penalty = _view_rows(sets, drawn, networks, views, cache)
    folds = deal_out(real.labels, settings.folds, settings.seed)
    made_from = sets.made_from[left]
    cache.progress.start("gain at left-out real images", len(folds.unique()))
    measured = measure_gains(real, generated, made_from, folds, penalty, cache.progress.advance)
    return _verdict(sets, drawn.labels, made_from, measured, settings)


def by_use(verdict: UseVerdict, sets: ComparedSets) -> CriterionResult:
    """Return the criterion that drops all images of the classes without gain."""
    keep = dict(zip(verdict.folders, verdict.keep, strict=True))
    folders = [sets.class_folders[int(label)] for label in sets.generated.labels]
    value = torch.full((len(folders),), torch.nan, dtype=torch.float64)
    if verdict.folders:
        gain = verdict.gains[verdict.statistic].classes.mean
        known = dict(zip(verdict.folders, gain.tolist(), strict=True))
        value = torch.tensor([known.get(folder, torch.nan) for folder in folders]).double()
    drop = torch.tensor([not keep.get(folder, True) for folder in folders])
    reason = NO_GAIN if any(verdict.keep) else NO_GAIN_AT_ALL
    return CriterionResult(reason, torch.zeros_like(value), value, drop)


def _verdict(
    sets: ComparedSets,
    labels: Tensor,
    made_from: Tensor,
    measured: Measured,
    settings: UseFilterSettings,
) -> UseVerdict:
    expected = {name: _expected(gains(measured, name)) for name in STATISTICS}
    return UseVerdict(
        folders=[sets.class_folders[int(label)] for label in measured.classes],
        images=[int((labels == label).sum()) for label in measured.classes],
        keep=classes_to_use(expected[settings.statistic]).tolist(),
        gains=expected,
        statistic=settings.statistic,
        unknown=int((made_from[:, 0] < 0).sum()),
    )


def _expected(found: Gains) -> Expected:
    return Expected(shrunk(found.value, found.variance), found.pooled, found.pooled_variance**0.5)


def _views(sets: ComparedSets, settings: UseFilterSettings) -> SymmetrySettings:
    return SymmetrySettings(
        networks=settings.networks,
        size=settings.size,
        symmetries=settings.symmetries,
        bands=sets.training.bands,
    )


def _view_rows(
    sets: ComparedSets,
    drawn: ImageSet,
    networks: Sequence[FrozenNetwork],
    views: SymmetrySettings,
    cache: FeatureCache,
) -> tuple[ViewRows, ViewRows, float]:
    """Return the real and the generated images as rows of a ridge, and its penalty.

    They are what the probe of ``classify`` sees: symmetric views in the features of frozen
    networks, here in their principal components. The penalty is the best for all real images, with
    each left out in closed form.
    """
    labels = sets.training.labels
    tables = [
        symmetric_views(networks, images.at_size(views.size), views, cache)
        for images in (sets.training, drawn)
    ]
    means = tuple(table.mean((0, 1)) for table in tables[0])
    normalisation = Normalisation(means, tuple(network.parts for network in networks))
    real, generated = (normalisation.joined(own) for own in tables)
    basis = principal_basis(torch.cat([real.mean(1), generated.mean(1)]), DIMENSIONS)
    rows = [part.double() @ basis for part in (real, generated)]
    return ViewRows(rows[0], labels), ViewRows(rows[1], drawn.labels), _penalty(rows[0], labels)


def _penalty(rows: Tensor, labels: Tensor) -> float:
    images, views, _ = rows.shape
    classes, every = int(labels.max()) + 1, labels.repeat_interleave(views)
    groups = torch.arange(images).repeat_interleave(views)
    weights = balanced_weights(every, classes)
    return fit_ridge(rows.flatten(0, 1), every, weights, groups, classes).penalty


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _interval(mean: float, deviation: float) -> tuple[float, float, float]:
    """Return low end, middle and high end in points."""
    half = NORMAL_95 * deviation
    return POINTS * (mean - half), POINTS * mean, POINTS * (mean + half)
