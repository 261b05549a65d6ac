"""The stage ``tgn filter``: every criterion on every image, then the manifest of what is kept."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tgn.data.image_folders import folder_rows
from tgn.data.made_from import SPLIT, made_from
from tgn.data.manifest import FILTERED, ManifestRow, all_rows
from tgn.data.prompts import prompts_of, warn_of_numbers
from tgn.data.runs import Run
from tgn.metrics.memorisation import distances_within_classes
from tgn.models.extractors import Extractor
from tgn.models.feature_cache import FeatureCache
from tgn.models.provenance import Provenance
from tgn.models.training_networks import TrainingNetwork
from tgn.models.zero_shot import ZeroShotClassifier, load_zero_shot
from tgn.probe.features import FrozenNetwork
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.locks import exclusive_writer, kept_unchanged
from tgn.runtime.progress import Progress
from tgn.runtime.settings import ComputeSettings
from tgn.scoring.class_predictors import (
    ClassPredictor,
    load_class_predictor,
)
from tgn.scoring.compared_sets import (
    ComparedSets,
    FeatureTables,
    load_folder_sets,
    load_sets,
)
from tgn.scoring.filter_criteria import (
    CriterionResult,
    class_thresholds,
    copies,
    duplicates,
    least_like_prompts,
    too_improbable,
    unlike_prototype,
    unlike_real,
)
from tgn.scoring.filter_outcome import FilterOutcome, delete_filter, write_outcome
from tgn.scoring.generator_networks import marked, networks_behind
from tgn.scoring.network_outputs import fitted_judge, judge_provenance, whole_tables
from tgn.scoring.networks import NO_CLASSES, load_judge
from tgn.scoring.settings import FILTER_GRID, FilterSettings, UseFilterSettings
from tgn.scoring.use import by_number, by_use, judge_use, use_networks

__all__ = ["FilterOutcome", "filter_folders", "filter_run", "remove_filter"]

ONE_CLASS = "there is one class only"
NO_CLIP = "none given; add --set clip=arch:tag or arch:/file"


@dataclass(frozen=True)
class FilterNetworks:
    """The networks of one filter; None where a class prediction is not tested.

    Attributes:
        extractor: distances are taken in its features.
        classifier: predicts classes in place of the ridge on the extractor's features.
        uses_ridge: whether that ridge predicts classes.
        clip: predicts classes.
        skipped: classifiers that are not available -> the remedy.
        trained_against: networks in the losses of the generator; None where it is not known.
        of_use: in their features the gain is measured; none by quality.
    """

    extractor: Extractor
    classifier: ClassPredictor | None
    uses_ridge: bool
    clip: ZeroShotClassifier | None
    skipped: Mapping[str, str]
    trained_against: tuple[TrainingNetwork, ...] | None
    of_use: Sequence[FrozenNetwork] = ()


def filter_run(
    run: Run, settings: FilterSettings, folder: Path | None, progress: Progress
) -> tuple[FilterOutcome, Path]:
    """Write which generated images to keep; nothing is deleted.

    Args:
        run: whose real images and networks are compared with.
        settings: the thresholds.
        folder: images and manifest, or class folders of any generator; None is the run's own.
        progress: shows how far the work is.

    Returns:
        The result, and the folder; it now has the filtered manifest, ``filter.json`` and
        ``filter.png``.

    Raises:
        UserError: if there is nothing to filter, or nothing would be left.
    """
    folder = folder or run.generated
    next(all_rows(folder, run.split()), None)  # raises before a lock lies in another's folder
    with kept_unchanged(run.kmdn), exclusive_writer(folder):
        return _filter_of_run(run, settings, folder, progress), folder


def remove_filter(folder: Path) -> bool:
    """Delete the files of a filter, so that all images are used again.

    Returns:
        Whether there was a filter.
    """
    is_filtered = (folder / FILTERED).is_file()
    with exclusive_writer(folder) if is_filtered else nullcontext():
        return delete_filter(folder)


def _filter_of_run(
    run: Run, settings: FilterSettings, folder: Path, progress: Progress
) -> FilterOutcome:
    rows = list(all_rows(folder, run.split()))
    against = networks_behind(run, rows)
    extractor = load_judge(settings.extractor, run, against)
    sets = load_sets(run, folder, rows, extractor.network.bands)
    networks = _load_networks(settings, extractor, run, sets, against)
    if networks.clip is not None:
        warn_of_numbers(sets.class_names, progress)
    cache = FeatureCache(run.feature_cache, _device(settings), progress)
    return _filter(sets, rows, networks, settings, cache, made_from(run, SPLIT))


def filter_folders(
    folders: tuple[Path, Path],
    settings: FilterSettings,
    progress: Progress,
    run: Run | None = None,
) -> tuple[FilterOutcome, Path]:
    """Write which images of a folder to keep, compared with a folder of real images.

    Class folders are matched by name. Where either folder has none, both are compared as a whole,
    and class predictions are not tested.

    Args:
        folders: of the generated and of the real images.
        settings: the thresholds; ``extractor`` must not be ``tail`` unless there is a run.
        progress: shows how far the work is.
        run: whose tail net ``extractor=tail`` means, if any.

    Returns:
        The result, and the first folder; it now has the filtered manifest, ``filter.json`` and
        ``filter.png``.

    Raises:
        UserError: for a folder without images, a class without real images, a network or file
            that does not fit, or if nothing would be left.
    """
    folder_rows(folders[0], include_filtered=True, exclude={FILTER_GRID})  # raises, as above
    with exclusive_writer(folders[0]):
        return _filter_of_folders(folders, settings, progress, run), folders[0]


def _filter_of_folders(
    folders: tuple[Path, Path], settings: FilterSettings, progress: Progress, run: Run | None
) -> FilterOutcome:
    folder, real = folders
    rows = folder_rows(folder, include_filtered=True, exclude={FILTER_GRID})
    extractor = load_judge(settings.extractor, run)
    sets = load_folder_sets(folder, rows, real, extractor.network.bands)
    _check_all_classes_matched(sets, rows, real)
    networks = _load_networks(settings, extractor, None, sets, None)
    cache = FeatureCache(None, _device(settings), progress)
    return _filter(sets, rows, networks, settings, cache, {})


def _check_all_classes_matched(sets: ComparedSets, rows: Sequence[ManifestRow], real: Path) -> None:
    if len(sets.generated) < len(rows):
        unmatched = sorted({row.folder for row in rows} - {*sets.class_folders})
        raise UserError(
            f"{sets.folder} has the class folders {', '.join(unmatched)}, which {real} has not; "
            "filtering needs real images of every class"
        )


def _load_networks(
    settings: FilterSettings,
    extractor: Extractor,
    run: Run | None,
    sets: ComparedSets,
    against: tuple[TrainingNetwork, ...] | None,
) -> FilterNetworks:
    of_use = use_networks(sets, settings) if isinstance(settings, UseFilterSettings) else ()
    if not sets.has_classes:
        why = {"classifier": NO_CLASSES, "CLIP": NO_CLASSES}
        return FilterNetworks(extractor, None, False, None, why, against)
    predictor = clip = None
    skipped, uses_ridge = {}, False
    if settings.min_probability:
        if settings.classifier:
            predictor = load_class_predictor(settings.classifier, run)
        elif sets.has_several_classes:
            uses_ridge = True
        else:
            skipped["classifier"] = ONE_CLASS
    if settings.clip is None:
        skipped["CLIP"] = NO_CLIP
    elif settings.min_clip_probability or settings.clip_percentile:
        clip = load_zero_shot(settings.clip, prompts_of(sets.class_names))
    return FilterNetworks(extractor, predictor, uses_ridge, clip, skipped, against, of_use)


def _device(settings: FilterSettings) -> Device:
    return Device(ComputeSettings.resolve(device=settings.device, precision="float32"))


def _filter(
    sets: ComparedSets,
    rows: Sequence[ManifestRow],
    networks: FilterNetworks,
    settings: FilterSettings,
    cache: FeatureCache,
    sources: Mapping[str, str],
) -> FilterOutcome:
    """Apply all criteria to the images and write the outcome into their folder."""
    _check_distances(sets, settings)
    features = whole_tables(
        networks.extractor, sets, cache, with_training=networks.uses_ridge, with_held_out=False
    )
    results = _by_distance(sets, features, settings)
    by_class = [
        _by_classifier(sets, networks, settings, features, cache),
        *_by_clip(sets, networks, settings, cache),
    ]
    judges = {"distances": networks.extractor.provenance}
    for criterion, provenance in (pair for pair in by_class if pair is not None):
        results.append(criterion)
        judges[criterion.reason] = provenance
    verdict = None
    if isinstance(settings, UseFilterSettings):
        results.append(by_number(sets, settings.generated_below))
        dropped = sum((result.drop for result in results), torch.zeros(len(rows)).bool())
        left = (~dropped).nonzero().flatten()
        verdict = judge_use(sets, left, networks.of_use, settings, cache)
        results.append(by_use(verdict, sets))
    reasons = [[result.reason for result in results if result.drop[i]] for i in range(len(rows))]
    outcome = FilterOutcome(rows, reasons, networks.skipped, verdict)
    if not outcome.kept and verdict is None:  # by use none is an answer
        raise UserError(
            f"no image of {sets.folder} passes every test; loosen one: tgn filter --help-settings"
        )
    known = {role: marked(one, networks.trained_against) for role, one in judges.items()}
    write_outcome(sets, outcome, results, settings, known, sources)
    return outcome


def _check_distances(sets: ComparedSets, settings: FilterSettings) -> None:
    most = int(torch.bincount(sets.real.labels).max())
    tests = ("copy_percentile", "duplicate_percentile", "prototype_percentile")
    if most < 2 and any(used := [name for name in tests if getattr(settings, name, 0)]):
        off = " ".join(f"--set {name}=0" for name in used)
        raise UserError(
            f"got {most} real image a class, expected 2 or more to measure their distances; add "
            f"images, or {off}"
        )


def _by_distance(
    sets: ComparedSets, features: FeatureTables, settings: FilterSettings
) -> list[CriterionResult]:
    results = []
    if settings.copy_percentile or settings.duplicate_percentile:
        results = _too_near(sets, features, settings)
    if settings.quality_percentile:
        pair = features.generated, sets.generated.labels, features.real, sets.real.labels
        results.append(unlike_real(*pair, settings.quality_percentile))
    if isinstance(settings, UseFilterSettings) and settings.prototype_percentile:
        pair = features.generated, sets.generated.labels, features.real, sets.real.labels
        results += unlike_prototype(*pair, settings.prototype_percentile)
    return results


def _too_near(
    sets: ComparedSets, features: FeatureTables, settings: FilterSettings
) -> list[CriterionResult]:
    """Apply the criteria whose thresholds are distances between real images of a class."""
    labels, real_labels, results = sets.generated.labels, sets.real.labels, []
    within = distances_within_classes(features.real, real_labels)
    if percentile := settings.copy_percentile:
        near = settings.near * class_thresholds(within, real_labels, labels, percentile)
        results.append(copies(features.generated, labels, features.real, real_labels, near))
    if percentile := settings.duplicate_percentile:
        near = settings.near * class_thresholds(within, real_labels, labels, percentile)
        results.append(duplicates(features.generated, labels, near))
    return results


def _by_classifier(
    sets: ComparedSets,
    networks: FilterNetworks,
    settings: FilterSettings,
    features: FeatureTables,
    cache: FeatureCache,
) -> tuple[CriterionResult, Provenance] | None:
    """Return what the classifier drops, and which it is: a given one, else the judge's ridge."""
    if networks.classifier:
        provenance = networks.classifier.provenance_for(sets.origins)
        probabilities = networks.classifier.probabilities(
            sets.generated, sets.origins, sets.class_folders, cache.device, cache.progress
        )
    else:
        judge = fitted_judge(sets, features)
        if judge is None:
            return None
        provenance = judge_provenance(sets, networks.extractor)
        probabilities = judge.probabilities(features.generated, sets.made_from)
    labels, minimum = sets.generated.labels, settings.min_probability
    result = too_improbable("classifier doubts", probabilities, labels, minimum)
    if networks.classifier is None:  # the ridge, from which the images' own sources are left out
        result = replace(result, drop=result.drop & sets.leaves_some_real)
    return result, provenance


def _by_clip(
    sets: ComparedSets, networks: FilterNetworks, settings: FilterSettings, cache: FeatureCache
) -> list[tuple[CriterionResult, Provenance]]:
    if networks.clip is None:
        return []
    guide, extractor = networks.clip.guide, networks.clip.extractor
    cosines = guide.cosines(cache.features(extractor, sets.generated))
    labels, found = sets.generated.labels, []
    if minimum := settings.min_clip_probability:
        probabilities = (cosines * guide.logit_scale).softmax(dim=1)
        found.append(too_improbable("CLIP doubts", probabilities, labels, minimum))
    if percentile := settings.clip_percentile:
        agreement = cosines.gather(1, labels[:, None]).squeeze(1)
        found.append(least_like_prompts(agreement, labels, percentile))
    return [(criterion, extractor.provenance) for criterion in found]
