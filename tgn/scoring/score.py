"""The stage ``tgn score``: metrics of generated against real images, written as JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from tgn.data.image_folders import folder_rows
from tgn.data.made_from import IMAGES, MADE_FROM, SPLIT, TAIL_NET, made_from
from tgn.data.manifest import ManifestRow, active_rows
from tgn.data.prompts import warn_of_numbers
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.models.extractors import TAIL
from tgn.models.feature_cache import FeatureCache
from tgn.runtime.devices import Device
from tgn.runtime.files import read_model, require_writable, write_json
from tgn.runtime.locks import kept_unchanged
from tgn.runtime.progress import Progress, Silent
from tgn.runtime.settings import ComputeSettings
from tgn.scoring.classification_accuracy import with_accuracy
from tgn.scoring.compared_sets import ComparedSets, load_folder_sets, load_sets
from tgn.scoring.network_outputs import NetworkOutputs, compute_outputs
from tgn.scoring.networks import (
    NO_CLASSES,
    NO_RUN,
    ScoringNetworks,
    load_judge,
    load_networks,
    load_networks_for_folders,
)
from tgn.scoring.results import Scores, WorthScore
from tgn.scoring.scorer import Scorer
from tgn.scoring.settings import FILTER_GRID, ScoreSettings
from tgn.scoring.summary import Summary
from tgn.scoring.worth import LabelledRows, worth_in_real_images

SCORES_SUFFIX = ".scores.json"  # beside a folder that was scored without a split
NEAREST_SUFFIX = ".nearest.json"  # beside the scores: file -> nearest real file and distance
FITTED = "in features that the generator was trained against: not to be believed"
UNKNOWN_WORTH = "worth in real images is not known"
NO_HELD_OUT = "the run has no test images of these classes; folders have none"
IMPLEMENTATION = f"tgn.score with torch {torch.__version__}, formulas in float64"


def score_run(
    run: Run,
    settings: ScoreSettings,
    folder: Path | None,
    progress: Progress,
    out: Path | None = None,
) -> tuple[Scores, Path]:
    """Score a folder of generated images against the run's real training images.

    Pooled figures and the worth are those of the tail, as if it were alone in the folder; generated
    images of head classes add rows to the table of classes. If there are no others, they are scored
    as a tail is.

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
    require_writable(out.parent if out else run.path)
    with kept_unchanged(folder, run.kmdn):
        return _score_run(run, settings, folder, progress, out)


def _score_run(
    run: Run, settings: ScoreSettings, folder: Path, progress: Progress, out: Path | None
) -> tuple[Scores, Path]:
    split = run.split()
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    net = [TAIL_NET] if TAIL in (settings.extractor, settings.classifier) else []
    sources = made_from(run, SPLIT, IMAGES, *net, folder=folder)
    rows = list(active_rows(folder, split))
    networks = load_networks(settings, run, rows, split.names)
    progress = progress if device.is_main else Silent()
    if settings.clip:
        warn_of_numbers(split.names, progress)
    cache = FeatureCache(run.feature_cache if settings.keep_features else None, device, progress)
    tail, head = _parts(rows, split)
    compared = [
        load_sets(run, folder, part, networks.extractor.network.bands, settings.size)
        for part in ((tail, head) if tail and head else (rows,))
    ]
    outputs = [compute_outputs(sets, networks, cache) for sets in compared]
    name = f"{folder.name}-{networks.extractor.name.replace('/', '_')}.json"
    path = out or run.scores / name
    if device.is_main:  # the formulas need the features of all processes in one place
        scores = score_sets(compared[0], networks, settings, outputs[0], progress)
        for sets, own in zip(compared[1:], outputs[1:], strict=True):
            scorer = Scorer(sets, networks, settings, own)
            more = [scorer.of_class(k).model_copy(update={"is_head": True}) for k in sets.labels]
            scores = scores.model_copy(update={"classes": (*scores.classes, *more)})
        scores = scores.model_copy(update={MADE_FROM: sources})
        scores = with_accuracy(scores, run.comparison_file)
        _write(path, scores, zip(compared, outputs, strict=True))
    device.wait()
    return read_model(path, Scores), path


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
    extractor = load_judge(settings.extractor, run)
    sets = load_folder_sets(folder, rows, real, extractor.network.bands, settings.size)
    names = sets.class_names if sets.has_classes else None
    networks = load_networks_for_folders(settings, extractor, names)
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    progress = progress if device.is_main else Silent()
    outputs = compute_outputs(sets, networks, FeatureCache(None, device, progress))
    path = out or folder.resolve().with_name(f"{folder.resolve().name}{SCORES_SUFFIX}")
    if device.is_main:
        scores = score_sets(sets, networks, settings, outputs, progress)
        _write(path, scores, [(sets, outputs)])
    device.wait()
    return read_model(path, Scores), path


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
    progress.start("scores", len(labels) + 2)
    classes = []
    for label in labels:
        classes.append(scorer.of_class(label))
        progress.advance(note=classes[-1].name)
    pooled = scorer.pooled(tuple(classes))
    progress.advance(note="worth in real images")
    worth, headline = _worth(sets, outputs, settings.seed)
    progress.advance()
    used = _provenances(networks, outputs)
    if used["extractor"].trained_against:
        headline = f"{headline} ({FITTED})"
    return Scores(
        generated=sets.relative(sets.folder),
        reference=sets.reference,
        implementation=IMPLEMENTATION,
        **used,
        seed=settings.seed,
        size=sets.generated.size,
        min_count_for_fid=settings.min_count_for_fid,
        worth=worth,
        headline=headline,
        summary=Summary(pooled, **used).figures(),
        pooled=pooled,
        classes=tuple(classes) if sets.has_classes else (),
        not_computed={**_not_computed(sets, networks, outputs), **sets.left_out},
    )


def _provenances(networks: ScoringNetworks, outputs: NetworkOutputs) -> dict[str, Any]:
    """Return extractor, classifier, CLIP and LPIPS, marked where the generator knew them."""
    used = {
        "extractor": networks.extractor.provenance,
        "classifier": outputs.classifier,
        "clip": networks.clip.extractor.provenance if networks.clip else None,
        "lpips": networks.lpips.provenance if networks.lpips else None,
    }
    return {role: networks.marked(one) if one else None for role, one in used.items()}


def _not_computed(
    sets: ComparedSets, networks: ScoringNetworks, outputs: NetworkOutputs
) -> dict[str, str]:
    missing = networks.missing(sets.has_classes)
    if outputs.correct is None:
        missing["agreement"] = NO_CLASSES
    if sets.held_out is None:
        missing["figures against held-out real images"] = NO_HELD_OUT
    if sets.reference != "train":
        missing["classification_accuracy"] = NO_RUN
    return missing


def _worth(sets: ComparedSets, outputs: NetworkOutputs, seed: int) -> tuple[WorthScore | None, str]:
    """Return what the images are worth, and that in words; or why it is not known."""
    tables, judge = outputs.features, outputs.judge
    if judge is None:
        return None, f"{UNKNOWN_WORTH}: the images have no classes"
    if sets.held_out is None or tables.held_out is None or tables.training is None:
        return None, f"{UNKNOWN_WORTH}: no held-out real images of these classes"
    found = worth_in_real_images(
        judge,
        LabelledRows(judge.rows(tables.training), sets.training.labels),
        LabelledRows(judge.rows(tables.generated), sets.generated.labels),
        LabelledRows(judge.rows(tables.held_out), sets.held_out.labels),
        seed,
    )
    return (
        (None, f"{UNKNOWN_WORTH}: {found}") if isinstance(found, str) else (found, found.sentence)
    )


def _parts(
    rows: Sequence[ManifestRow], split: Split
) -> tuple[list[ManifestRow], list[ManifestRow]]:
    """Return the rows of tail classes and those of head classes."""
    head = {split.classes[label].folder for label in split.head_classes}
    return (
        [row for row in rows if row.folder not in head],
        [row for row in rows if row.folder in head],
    )


def _write(
    path: Path, scores: Scores, compared: Iterable[tuple[ComparedSets, NetworkOutputs]]
) -> None:
    nearest = [_nearest(sets, outputs) for sets, outputs in compared]
    write_json(
        path.with_suffix(NEAREST_SUFFIX), {k: v for part in nearest for k, v in part.items()}
    )
    write_json(path, scores.model_dump(mode="json"))


def _nearest(sets: ComparedSets, outputs: NetworkOutputs) -> dict[str, dict[str, Any]]:
    """Return the nearest real image of each generated one, for people to compare."""
    neighbours = outputs.nearest
    pairs = zip(
        sets.generated.files, neighbours.index.tolist(), neighbours.distance.tolist(), strict=True
    )
    return {
        sets.relative(file): {"real": sets.relative(sets.real.files[row]), "distance": distance}
        for file, row, distance in pairs
    }
