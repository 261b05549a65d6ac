"""Scores the generated images of a run against its real training images, and writes the result."""

from pathlib import Path
from typing import Any

import torch

from tgn.data.manifest import fingerprint, rows_in_use
from tgn.data.runs import Run
from tgn.metrics.neighbours import nearest_neighbours
from tgn.models.extractors import Extractor
from tgn.runtime.devices import Device
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Progress, Silent
from tgn.runtime.settings import ComputeSettings
from tgn.scoring.classification_accuracy import with_accuracy
from tgn.scoring.feature_cache import FeatureCache
from tgn.scoring.image_sets import FeatureTables, ScoreSets, load_sets
from tgn.scoring.results import Scores
from tgn.scoring.scorer import Evidence, Scorer
from tgn.scoring.settings import ScoreSettings
from tgn.scoring.tools import Tools, load_tools

NEAREST_SUFFIX = ".nearest.json"  # beside the scores: file -> nearest real file and distance
IMPLEMENTATION = f"tgn.score with torch {torch.__version__}, formulas in float64"


def score_run(
    run: Run, settings: ScoreSettings, folder: Path | None, progress: Progress
) -> tuple[Scores, Path]:
    """Score a folder of generated images and write ``scores/<folder>-<extractor>.json``.

    Args:
        run: the run whose split, tail net and training images are used.
        settings: of the scoring.
        folder: holds the images and their manifest; None is the run's ``generated``.
        progress: told of the work.

    Returns:
        The result and the file it was written to.

    Raises:
        UserError: for a missing manifest, image, network or weight file.
    """
    folder = folder or run.path / "generated"
    split = run.split()
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    progress = progress if device.is_main else Silent()
    tools = load_tools(settings, run, split)
    rows = list(rows_in_use(folder, split))
    sets = load_sets(run, folder, rows, tools.tail.network.bands, settings.size)
    kept = run.path / "scores" / "features" if settings.keep_features else None
    evidence = look(sets, tools, FeatureCache(kept, device, progress))
    path = run.path / "scores" / f"{folder.name}-{tools.extractor.name.replace('/', '_')}.json"
    if device.is_main:  # the networks are the work; the formulas need all features in one place
        scores = score_sets(sets, tools, settings, evidence, progress)
        scores = with_accuracy(scores, run.path / "compare.json", fingerprint(folder, split))
        write_json(path.with_suffix(NEAREST_SUFFIX), _nearest(sets, evidence))
        write_json(path, scores.model_dump(mode="json"))
    device.wait()
    return Scores.model_validate(read_json(path)), path


def score_sets(
    sets: ScoreSets,
    tools: Tools,
    settings: ScoreSettings,
    evidence: Evidence,
    progress: Progress,
) -> Scores:
    """Score generated images against real ones.

    Args:
        sets: the images.
        tools: the networks; what is None is listed in ``not_computed`` with its remedy.
        settings: seed and the least count for FID.
        evidence: what :func:`look` saw.
        progress: told of every class.

    Returns:
        Figures per class and pooled, with what they were made of.
    """
    scorer, labels = Scorer(sets, tools, settings, evidence), sets.classes
    progress.start("scores", len(labels) + 1)
    classes = []
    for label in labels:
        classes.append(scorer.of_class(label))
        progress.advance(note=classes[-1].name)
    pooled = scorer.pooled(tuple(classes))
    progress.advance()
    return Scores(
        generated=sets.relative(sets.folder),
        reference="train",
        implementation=IMPLEMENTATION,
        extractor=tools.extractor.provenance,
        diversity_extractor=tools.tail.provenance,
        lpips=tools.perceptual.provenance if tools.perceptual else None,
        classifier=tools.classifier.provenance if tools.classifier else None,
        clip=tools.clip.extractor.provenance if tools.clip else None,
        seed=settings.seed,
        size=sets.generated.size,
        min_count_for_fid=settings.min_count_for_fid,
        pooled=pooled,
        classes=tuple(classes),
        not_computed=tools.not_computed | _classes_without_images(sets),
    )


def look(sets: ScoreSets, tools: Tools, cache: FeatureCache) -> Evidence:
    """Let every network look at every image, once, always in float32."""

    def tables(extractor: Extractor) -> FeatureTables:
        return FeatureTables(
            cache.features(extractor, sets.generated), cache.features(extractor, sets.real)
        )

    tail = tables(tools.tail)
    features = tail if tools.extractor is tools.tail else tables(tools.extractor)
    labels, hits, clip, clip_hits = sets.generated.labels, None, None, None
    if tools.classifier:
        folders = [entry.folder for entry in sets.split.classes]
        found = tools.classifier.probabilities(
            sets.generated, sets.sources, folders, cache.device, cache.progress
        )
        hits = found.argmax(dim=1) == labels
    if tools.clip:
        clip = tables(tools.clip.extractor)
        clip_hits = tools.clip.guide.cosines(clip.generated).argmax(dim=1) == labels
    if tools.perceptual:
        cache.device.place(tools.perceptual.net)
    return Evidence(features, tail, clip, hits, clip_hits)


def _nearest(sets: ScoreSets, evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Each generated image's nearest real training image, for people to compare."""
    tables = evidence.features
    found = nearest_neighbours(tables.generated, tables.real)
    pairs = zip(sets.generated.files, found.index.tolist(), found.distance.tolist(), strict=True)
    return {
        sets.relative(file): {"real": sets.relative(sets.real.files[row]), "distance": distance}
        for file, row, distance in pairs
    }


def _classes_without_images(sets: ScoreSets) -> dict[str, str]:
    missing = sorted(set(sets.split.tail_classes) - set(sets.classes))
    folders = [sets.split.classes[k].folder for k in missing]
    return {f"class {f}": f"no generated images; tgn generate --class {f}" for f in folders}
