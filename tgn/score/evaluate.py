"""Scores the generated images of a run against its real training images, and writes the result."""

from pathlib import Path

import torch

from tgn.core.bank import tail_net_file
from tgn.core.devices import ComputeSettings, Device
from tgn.core.errors import UserError
from tgn.core.files import write_json
from tgn.core.images import read_image
from tgn.core.manifest import generated_set, read_manifest
from tgn.core.progress import Progress
from tgn.core.runs import Run
from tgn.core.split import of_classes
from tgn.score.agreement import agreement
from tgn.score.results import Scores
from tgn.score.scorer import FeatureTables, Scorer, ScoreSets
from tgn.score.tools import ScoreSettings, Tools, load_tools

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
    tools = load_tools(settings, tail_net_file(run.path / "kmdn"))
    size = settings.size or _side_of_first(folder)
    bands = tools.tail.network.bands
    sets = ScoreSets(
        generated=generated_set(folder, split, size, bands),
        real=of_classes(split.image_set("train", run.path, size, bands), split.tail_classes),
        split=split,
        folder=folder,
        root=run.path,
    )
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    scores = score_sets(sets, tools, settings, device, progress)
    path = run.path / "scores" / f"{folder.name}-{tools.extractor.name.replace('/', '_')}.json"
    write_json(path, scores.model_dump(mode="json"))
    return scores, path


def _side_of_first(folder: Path) -> int:
    first = next(read_manifest(folder), None)
    if first is None:
        raise UserError(f"the manifest in {folder} is empty; make images: tgn generate --class all")
    image, _ = read_image(folder / first.file)
    return max(image.size)


def score_sets(
    sets: ScoreSets, tools: Tools, settings: ScoreSettings, device: Device, progress: Progress
) -> Scores:
    """Score generated images against real ones.

    Args:
        sets: the images.
        tools: the networks; what is None is listed in ``not_computed`` with its remedy.
        settings: seed and the least count for FID.
        device: where the networks compute, always in float32.
        progress: told of every batch.

    Returns:
        Figures per class and pooled, with what they were made of.

    Raises:
        UserError: if there is no generated or no real image to compare.
    """
    if len(sets.generated) == 0:
        raise UserError("no generated images to score; make some: tgn generate --class all")
    if len(sets.real) == 0:
        raise UserError("no real training images to compare with; check the split")
    scorer = _extract(sets, tools, settings, device, progress)
    labels = sets.classes
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
        seed=settings.seed,
        size=sets.generated.size,
        min_count_for_fid=settings.min_count_for_fid,
        pooled=pooled,
        classes=tuple(classes),
        not_computed=tools.not_computed | _classes_without_images(sets),
    )


def _extract(
    sets: ScoreSets, tools: Tools, settings: ScoreSettings, device: Device, progress: Progress
) -> Scorer:
    tail = FeatureTables(
        tools.tail.features(sets.generated, device, progress),
        tools.tail.features(sets.real, device, progress),
    )
    features = tail
    if tools.extractor is not tools.tail:
        features = FeatureTables(
            tools.extractor.features(sets.generated, device, progress),
            tools.extractor.features(sets.real, device, progress),
        )
    judged = None
    if tools.classifier:
        folders = [entry.folder for entry in sets.split.classes]
        predictions = tools.classifier.predictions(sets.generated, folders, device, progress)
        judged = agreement(predictions, sets.generated.labels)
    if tools.perceptual:
        device.place(tools.perceptual.net)
    return Scorer(sets, tools, settings, features, tail, judged)


def _classes_without_images(sets: ScoreSets) -> dict[str, str]:
    missing = sorted(set(sets.split.tail_classes) - set(sets.classes))
    folders = [sets.split.classes[k].folder for k in missing]
    return {f"class {f}": f"no generated images; tgn generate --class {f}" for f in folders}
