"""Selection by use: what the generated images of each class bring at left-out real images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.splits.folds import deal_out
from tgn.models.feature_cache import FeatureCache
from tgn.probe.features import FrozenNetwork, frozen_networks, symmetric_views
from tgn.probe.fit import Normalisation, generated_rows, own_groups
from tgn.probe.gain import Measured, ViewRows, measure_gains
from tgn.probe.linear import balanced_weights
from tgn.probe.principal_components import principal_basis
from tgn.probe.ridge import fit_ridge
from tgn.probe.settings import SymmetrySettings
from tgn.runtime.errors import UserError
from tgn.scoring.compared_sets import ComparedSets
from tgn.scoring.filter_criteria import CriterionResult
from tgn.scoring.settings import UseFilterSettings
from tgn.scoring.use_verdict import UseVerdict, classes_to_use, expected_gains

DIMENSIONS = 384  # principal components kept: what is beyond them hardly changes a score
NO_GAIN = "no gain for its class"
NO_GAIN_AT_ALL = "no gain by any class"
ENOUGH = "enough real images of its class"


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

    Only those of classes with few real images are measured and used, as by a probe.

    Args:
        sets: with two or more classes.
        left: rows of generated images that the other tests left.
        networks: of :func:`use_networks`.
        settings: of the features, the folds and the rule.
        cache: where features are kept.
    """
    real_labels = sets.training.labels
    few = generated_rows(sets.generated.labels[left], real_labels, settings.generated_below)
    if len(few) == 0:
        return UseVerdict([], [], [], {}, settings.statistic, 0)
    left = left[few]
    drawn = sets.generated.subset(left)
    views = _views(sets, settings)
    real, generated, penalty = _view_rows(sets, drawn, networks, views, cache)
    folds = deal_out(real.labels, settings.folds, settings.seed, sets.training.groups)
    made_from = sets.made_from[left]
    cache.progress.start("gain at left-out real images", len(folds.unique()))
    measured = measure_gains(real, generated, made_from, folds, penalty, cache.progress.advance)
    return _verdict(sets, drawn.labels, made_from, measured, settings)


def by_number(sets: ComparedSets, below: int) -> CriterionResult:
    """Return the criterion that drops the images of classes with at least so many real ones."""
    counts = torch.bincount(sets.training.labels, minlength=len(sets.class_folders))
    value = counts[sets.generated.labels].double()
    return CriterionResult(ENOUGH, torch.full_like(value, below), value, value >= below)


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
    expected = expected_gains(measured)
    return UseVerdict(
        folders=[sets.class_folders[int(label)] for label in measured.classes],
        images=[int((labels == label).sum()) for label in measured.classes],
        keep=classes_to_use(expected[settings.statistic]).tolist(),
        gains=expected,
        statistic=settings.statistic,
        unknown=int((made_from[:, 0] < 0).sum()),
    )


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
    penalty = best_penalty(rows[0], labels, sets.training.groups)
    return ViewRows(rows[0], labels), ViewRows(rows[1], drawn.labels), penalty


def best_penalty(rows: Tensor, labels: Tensor, groups: Tensor | None = None) -> float:
    """Return lambda of the class-weighted ridge, chosen by leaving each image out.

    Args:
        rows: of V views of each image, [N, V, D].
        labels: [N].
        groups: number of each image's group, left out together, [N]; None: every one is alone.
    """
    views = rows.shape[1]
    classes, every = int(labels.max()) + 1, labels.repeat_interleave(views)
    left_out = own_groups(labels, groups).repeat_interleave(views)
    weights = balanced_weights(every, classes)
    return fit_ridge(rows.flatten(0, 1), every, weights, left_out, classes).penalty
