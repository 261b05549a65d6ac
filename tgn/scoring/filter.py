"""The stage ``tgn filter``: every criterion on every image, then the manifest of what is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from tgn.data.image_folders import folder_rows
from tgn.data.manifest import ManifestRow, all_rows
from tgn.data.runs import Run
from tgn.models.extractors import Extractor, load_extractor
from tgn.models.feature_bank import tail_net_file
from tgn.models.feature_cache import FeatureCache
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Progress
from tgn.runtime.settings import ComputeSettings
from tgn.scoring.class_predictors import (
    ClassPredictor,
    ClipPredictor,
    load_class_predictor,
    load_clip_predictor,
    newest_classifier,
)
from tgn.scoring.compared_sets import ComparedSets, load_folder_sets, load_sets
from tgn.scoring.filter_criteria import (
    CriterionResult,
    copies,
    duplicates,
    real_threshold,
    too_improbable,
    unlike_real,
)
from tgn.scoring.filter_outcome import FilterOutcome, remove_filter, write_outcome
from tgn.scoring.networks import NO_CLASSES, load_folder_extractor
from tgn.scoring.settings import FILTER_GRID, FilterSettings

__all__ = ["FilterOutcome", "filter_folders", "filter_run", "remove_filter"]

NO_CLASSIFIER_OF_RUN = "the run has none of real images; make one: classify train"
NO_CLASSIFIER = "none given; add --set classifier=FILE"
NO_CLIP = "none given; add --set clip=arch:tag or arch:/file"


@dataclass(frozen=True)
class FilterNetworks:
    """The networks of one filter; None where a class prediction is not tested.

    Attributes:
        extractor: distances are taken in its features.
        classifier: predicts classes.
        clip: predicts classes.
        skipped: classifiers that are not available -> the remedy.
    """

    extractor: Extractor
    classifier: ClassPredictor | None
    clip: ClipPredictor | None
    skipped: Mapping[str, str]


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
    rows = list(all_rows(folder, run.split()))
    extractor = load_extractor(settings.extractor, tail_net_file(run.kmdn))
    sets = load_sets(run, folder, rows, extractor.network.bands)
    classifier, skipped = settings.classifier or newest_classifier(run), {}
    if classifier is None:
        skipped["classifier"] = NO_CLASSIFIER_OF_RUN
    networks = _load_networks(settings, extractor, classifier, run, sets, skipped)
    cache = FeatureCache(run.feature_cache, _device(settings), progress)
    return _filter(sets, rows, networks, settings, cache), folder


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
    folder, real = folders
    rows = folder_rows(folder, include_filtered=True, exclude={FILTER_GRID})
    extractor = load_folder_extractor(settings.extractor, run)
    sets = load_folder_sets(folder, rows, real, extractor.network.bands)
    _check_all_classes_matched(sets, rows, real)
    skipped = {}
    if settings.classifier is None:
        skipped["classifier"] = NO_CLASSIFIER
    networks = _load_networks(settings, extractor, settings.classifier, None, sets, skipped)
    cache = FeatureCache(None, _device(settings), progress)
    return _filter(sets, rows, networks, settings, cache), folder


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
    classifier: Path | None,
    run: Run | None,
    sets: ComparedSets,
    skipped: dict[str, str],
) -> FilterNetworks:
    if not sets.has_classes:
        why = {"classifier": NO_CLASSES, "CLIP": NO_CLASSES}
        return FilterNetworks(extractor, None, None, why)
    predictor = clip = None
    if classifier and settings.min_probability:
        predictor = load_class_predictor(classifier, run)
    if settings.clip is None:
        skipped["CLIP"] = NO_CLIP
    elif settings.min_clip_probability:
        clip = load_clip_predictor(settings.clip, sets.class_names)
    return FilterNetworks(extractor, predictor, clip, skipped)


def _device(settings: FilterSettings) -> Device:
    return Device(ComputeSettings.resolve(device=settings.device, precision="float32"))


def _filter(
    sets: ComparedSets,
    rows: Sequence[ManifestRow],
    networks: FilterNetworks,
    settings: FilterSettings,
    cache: FeatureCache,
) -> FilterOutcome:
    """Apply all criteria to the images and write the outcome into their folder."""
    if len(sets.real) < 2 and (settings.copy_percentile or settings.duplicate_percentile):
        raise UserError(
            f"got {len(sets.real)} real image, expected 2 or more to measure their distances; add "
            "images, or --set copy_percentile=0 --set duplicate_percentile=0"
        )
    extractor = networks.extractor
    features = (cache.features(extractor, sets.generated), cache.features(extractor, sets.real))
    results = _by_distance(sets, features, settings) + _by_class(sets, networks, settings, cache)
    reasons = [[result.reason for result in results if result.drop[i]] for i in range(len(rows))]
    outcome = FilterOutcome(rows, reasons, networks.skipped)
    if not outcome.kept:
        raise UserError(
            f"no image of {sets.folder} passes every test; loosen one: tgn filter --help-settings"
        )
    write_outcome(sets, outcome, results, settings)
    return outcome


def _by_distance(
    sets: ComparedSets, features: tuple[Tensor, Tensor], settings: FilterSettings
) -> list[CriterionResult]:
    generated, real = features
    labels, results = sets.generated.labels, []
    if settings.copy_percentile:
        results.append(copies(generated, real, settings.copy_percentile))
    if settings.duplicate_percentile:
        threshold = real_threshold(real, settings.duplicate_percentile)
        results.append(duplicates(generated, labels, threshold))
    if settings.quality_percentile:
        percentile = settings.quality_percentile
        results.append(unlike_real(generated, labels, real, sets.real.labels, percentile))
    return results


def _by_class(
    sets: ComparedSets, networks: FilterNetworks, settings: FilterSettings, cache: FeatureCache
) -> list[CriterionResult]:
    labels, results = sets.generated.labels, []
    if networks.classifier:
        probabilities = networks.classifier.probabilities(
            sets.generated, sets.sources, sets.class_folders, cache.device, cache.progress
        )
        minimum = settings.min_probability
        results.append(too_improbable("classifier doubts", probabilities, labels, minimum))
    if networks.clip:
        guide = networks.clip.guide
        cosines = guide.cosines(cache.features(networks.clip.extractor, sets.generated))
        probabilities = (cosines * guide.logit_scale).softmax(dim=1)
        minimum = settings.min_clip_probability
        results.append(too_improbable("CLIP doubts", probabilities, labels, minimum))
    return results
