"""The stage ``tgn score``: metrics of generated against real images, written as JSON."""

from pathlib import Path
from typing import Any

import torch

from tgn.data.image_folders import folder_rows
from tgn.data.manifest import active_rows, fingerprint
from tgn.data.runs import Run
from tgn.metrics.neighbours import nearest_neighbours
from tgn.models.extractors import Extractor
from tgn.models.feature_cache import FeatureCache
from tgn.runtime.devices import Device
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Progress, Silent
from tgn.runtime.settings import ComputeSettings
from tgn.scoring.classification_accuracy import with_accuracy
from tgn.scoring.compared_sets import ComparedSets, FeatureTables, load_folder_sets, load_sets
from tgn.scoring.networks import (
    ScoringNetworks,
    load_folder_extractor,
    load_networks,
    load_networks_for_folders,
)
from tgn.scoring.results import Scores
from tgn.scoring.scorer import NetworkOutputs, Scorer
from tgn.scoring.settings import FILTER_GRID, ScoreSettings

SCORES_SUFFIX = ".scores.json"  # beside a folder that was scored without a split
NEAREST_SUFFIX = ".nearest.json"  # beside the scores: file -> nearest real file and distance
IMPLEMENTATION = f"tgn.score with torch {torch.__version__}, formulas in float64"


def score_run(
    run: Run,
    settings: ScoreSettings,
    folder: Path | None,
    progress: Progress,
    out: Path | None = None,
) -> tuple[Scores, Path]:
    """Score a folder of generated images against the run's real training images.

    Args:
        run: the run whose split, tail net and training images are used.
        settings: of the scoring.
        folder: holds the images and their manifest; None is the run's ``generated``.
        progress: shows how far the work is.
        out: the file to write; None is ``scores/<folder>-<extractor>.json`` of the run.

    Returns:
        The result and the file it was written to.

    Raises:
        UserError: for a missing manifest, image, network or weight file.
    """
    folder = folder or run.generated
    split = run.split()
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    networks = load_networks(settings, run, split.names)
    rows = list(active_rows(folder, split))
    bands = networks.diversity_extractor.network.bands
    sets = load_sets(run, folder, rows, bands, settings.size)
    progress = progress if device.is_main else Silent()
    cache = FeatureCache(run.feature_cache if settings.keep_features else None, device, progress)
    outputs = compute_outputs(sets, networks, cache)
    name = f"{folder.name}-{networks.extractor.name.replace('/', '_')}.json"
    path = out or run.scores / name
    if device.is_main:  # the formulas need the features of all processes in one place
        scores = score_sets(sets, networks, settings, outputs, progress)
        scores = with_accuracy(scores, run.comparison_file, fingerprint(folder, split))
        _write(path, scores, sets, outputs)
    device.wait()
    return Scores.model_validate(read_json(path)), path


def score_folders(
    folders: tuple[Path, Path],
    settings: ScoreSettings,
    progress: Progress,
    run: Run | None = None,
    out: Path | None = None,
) -> tuple[Scores, Path]:
    """Score a folder of generated images against a folder of real ones, without a split.

    Class folders are matched by name. Where either folder has none, both are compared as a whole.
    Nothing is cached.

    Args:
        folders: of the generated and of the real images.
        settings: of the scoring; ``extractor`` must not be ``tail`` unless there is a run.
        progress: shows how far the work is.
        run: whose tail net ``extractor=tail`` means, if any.
        out: the file to write; None is ``<generated folder>.scores.json`` beside that folder.

    Returns:
        The result and the file it was written to.

    Raises:
        UserError: for a folder without images, folders without a common class, or a network or
            file that does not fit.
    """
    folder, real = folders
    rows = folder_rows(folder, exclude={FILTER_GRID})
    extractor = load_folder_extractor(settings.extractor, run)
    sets = load_folder_sets(folder, rows, real, extractor.network.bands, settings.size)
    names = sets.class_names if sets.has_classes else None
    networks = load_networks_for_folders(settings, extractor, names)
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    progress = progress if device.is_main else Silent()
    outputs = compute_outputs(sets, networks, FeatureCache(None, device, progress))
    path = out or folder.resolve().with_name(f"{folder.resolve().name}{SCORES_SUFFIX}")
    if device.is_main:
        _write(path, score_sets(sets, networks, settings, outputs, progress), sets, outputs)
    device.wait()
    return Scores.model_validate(read_json(path)), path


def score_sets(
    sets: ComparedSets,
    networks: ScoringNetworks,
    settings: ScoreSettings,
    outputs: NetworkOutputs,
    progress: Progress,
) -> Scores:
    """Score generated images against real ones.

    Args:
        sets: the images.
        networks: what is None is listed in ``not_computed`` with its remedy.
        settings: seed and the least count for FID.
        outputs: of :func:`compute_outputs`.
        progress: advanced after every class.

    Returns:
        Metrics per class and pooled, with the networks they were computed with.
    """
    scorer, labels = Scorer(sets, networks, settings, outputs), sets.labels
    progress.start("scores", len(labels) + 1)
    classes = []
    for label in labels:
        classes.append(scorer.of_class(label))
        progress.advance(note=classes[-1].name)
    pooled = scorer.pooled(tuple(classes))
    progress.advance()
    return Scores(
        generated=sets.relative(sets.folder),
        reference=sets.reference,
        implementation=IMPLEMENTATION,
        extractor=networks.extractor.provenance,
        diversity_extractor=networks.diversity_extractor.provenance,
        lpips=networks.lpips.provenance if networks.lpips else None,
        classifier=networks.classifier.provenance if networks.classifier else None,
        clip=networks.clip.extractor.provenance if networks.clip else None,
        seed=settings.seed,
        size=sets.generated.size,
        min_count_for_fid=settings.min_count_for_fid,
        pooled=pooled,
        classes=tuple(classes) if sets.has_classes else (),
        not_computed={**networks.not_computed, **sets.left_out},
    )


def compute_outputs(
    sets: ComparedSets, networks: ScoringNetworks, cache: FeatureCache
) -> NetworkOutputs:
    """Apply every network to every image, once, in float32.

    Args:
        sets: the images.
        networks: of the scoring.
        cache: where features are kept; its device computes.

    Raises:
        UserError: if the images are too small for LPIPS.
    """
    if networks.lpips:
        networks.lpips.check_side(sets.generated.size)

    def tables(extractor: Extractor) -> FeatureTables:
        return FeatureTables(
            cache.features(extractor, sets.generated), cache.features(extractor, sets.real)
        )

    diversity = tables(networks.diversity_extractor)
    is_same = networks.extractor is networks.diversity_extractor
    features = diversity if is_same else tables(networks.extractor)
    labels, correct, clip, clip_correct = sets.generated.labels, None, None, None
    if networks.classifier:
        probabilities = networks.classifier.probabilities(
            sets.generated, sets.sources, sets.class_folders, cache.device, cache.progress
        )
        correct = probabilities.argmax(dim=1) == labels
    if networks.clip:
        clip = tables(networks.clip.extractor)
        if sets.has_classes:
            cosines = networks.clip.guide.cosines(clip.generated)
            clip_correct = cosines.argmax(dim=1) == labels
    if networks.lpips:
        cache.device.place(networks.lpips.net)
    return NetworkOutputs(features, diversity, clip, correct, clip_correct)


def _write(path: Path, scores: Scores, sets: ComparedSets, outputs: NetworkOutputs) -> None:
    write_json(path.with_suffix(NEAREST_SUFFIX), _nearest(sets, outputs))
    write_json(path, scores.model_dump(mode="json"))


def _nearest(sets: ComparedSets, outputs: NetworkOutputs) -> dict[str, dict[str, Any]]:
    """Return the nearest real image of each generated one, for people to compare."""
    tables = outputs.features
    neighbours = nearest_neighbours(tables.generated, tables.real)
    pairs = zip(
        sets.generated.files, neighbours.index.tolist(), neighbours.distance.tolist(), strict=True
    )
    return {
        sets.relative(file): {"real": sets.relative(sets.real.files[row]), "distance": distance}
        for file, row, distance in pairs
    }
