"""The stage ``tgn filter``: every test on every image, then the manifest of what is kept."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tgn.data.image_grid import save_grid
from tgn.data.manifest import FILTERED, ManifestRow, all_rows, write_filtered
from tgn.data.runs import Run
from tgn.models.extractors import load_extractor
from tgn.models.feature_bank import tail_net_file
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import write_json
from tgn.runtime.progress import Progress
from tgn.runtime.settings import ComputeSettings
from tgn.scoring.class_predictors import load_classifier_judge, load_clip_judge, own_classifier
from tgn.scoring.feature_cache import FeatureCache
from tgn.scoring.filter_tests import (
    Verdict,
    copies,
    duplicates,
    real_threshold,
    too_improbable,
    unlike_real,
)
from tgn.scoring.image_sets import ScoreSets, load_sets
from tgn.scoring.settings import FILTER_GRID, KEPT, FilterSettings

REPORT = "filter.json"
SHOWN = 6


@dataclass(frozen=True)
class Filtered:
    """What came of it.

    Attributes:
        reasons: for every image the names of the tests it failed, in the manifest's order.
        rows: the manifest's rows.
        skipped: tests that could not be made -> the remedy.
    """

    reasons: list[list[str]]
    rows: list[ManifestRow]
    skipped: dict[str, str]

    @property
    def kept(self) -> list[ManifestRow]:
        """Rows of images that passed every test."""
        return [row for row, failed in zip(self.rows, self.reasons, strict=True) if not failed]

    def counts(self) -> dict[str, Counter[str]]:
        """Per class folder: ``kept``, and for each reason how many images it struck."""
        table: dict[str, Counter[str]] = {}
        for row, failed in zip(self.rows, self.reasons, strict=True):
            table.setdefault(row.folder, Counter()).update(failed or [KEPT])
        return table


def filter_run(
    run: Run, settings: FilterSettings, folder: Path | None, progress: Progress
) -> tuple[Filtered, Path]:
    """Write which generated images to keep; nothing is deleted.

    Args:
        run: whose real images and networks are compared with.
        settings: the thresholds.
        folder: images and manifest, or class folders of any generator; None is the run's own.
        progress: told of the work.

    Returns:
        The result, and the folder; it now has the filtered manifest, ``filter.json`` and
        ``filter.png``.

    Raises:
        UserError: if there is nothing to filter, or nothing would be left.
    """
    folder = folder or run.path / "generated"
    split = run.split()
    rows = list(all_rows(folder, split))
    extractor = load_extractor(settings.extractor, tail_net_file(run.path / "kmdn"))
    sets = load_sets(run, folder, rows, extractor.network.bands)
    device = Device(ComputeSettings.resolve(device=settings.device, precision="float32"))
    cache = FeatureCache(run.path / "scores" / "features", device, progress)
    features = (cache.features(extractor, sets.generated), cache.features(extractor, sets.real))
    verdicts = _by_distance(sets, features, settings)
    judged, skipped = _by_judges(run, sets, settings, cache)
    verdicts += judged
    reasons = [
        [verdict.reason for verdict in verdicts if verdict.drop[i]] for i in range(len(rows))
    ]
    result = Filtered(reasons, rows, skipped)
    if not result.kept:
        raise UserError(f"no image of {folder} passes every test; loosen one: tgn filter --help")
    write_filtered(folder, result.kept)
    write_json(folder / REPORT, _report(result, verdicts, settings))
    _draw(sets, result, folder / FILTER_GRID)
    return result, folder


def forget_filter(folder: Path) -> bool:
    """Let all images count again; False if there was no filter."""
    there = (folder / FILTERED).is_file()
    for name in (FILTERED, REPORT, FILTER_GRID):
        (folder / name).unlink(missing_ok=True)
    return there


def _by_distance(
    sets: ScoreSets, features: tuple[Tensor, Tensor], settings: FilterSettings
) -> list[Verdict]:
    generated, real = features
    labels, verdicts = sets.generated.labels, []
    if settings.copy_percentile:
        verdicts.append(copies(generated, real, settings.copy_percentile))
    if settings.duplicate_percentile:
        threshold = real_threshold(real, settings.duplicate_percentile)
        verdicts.append(duplicates(generated, labels, threshold))
    if settings.quality_percentile:
        percentile = settings.quality_percentile
        verdicts.append(unlike_real(generated, labels, real, sets.real.labels, percentile))
    return verdicts


def _by_judges(
    run: Run, sets: ScoreSets, settings: FilterSettings, cache: FeatureCache
) -> tuple[list[Verdict], dict[str, str]]:
    """Ask classifier and CLIP; return the verdicts, and who could not be asked with the remedy."""
    verdicts, skipped, labels = [], {}, sets.generated.labels
    path = settings.classifier or own_classifier(run)
    if path is None:
        skipped["classifier"] = "the run has none of real images; make one: classify train"
    elif settings.min_probability:
        judge = load_classifier_judge(path, run)
        found = judge.probabilities(
            sets.generated,
            sets.sources,
            [entry.folder for entry in sets.split.classes],
            cache.device,
            cache.progress,
        )
        verdicts.append(
            too_improbable("classifier doubts", found, labels, settings.min_probability)
        )
    if settings.clip is None:
        skipped["CLIP"] = "none given; add --set clip=arch:tag or arch:/file"
    elif settings.min_clip_probability:
        clip = load_clip_judge(settings.clip, sets.split.names)
        cosines = clip.guide.cosines(cache.features(clip.extractor, sets.generated))
        found = (cosines * clip.guide.logit_scale).softmax(dim=1)
        verdicts.append(too_improbable("CLIP doubts", found, labels, settings.min_clip_probability))
    return verdicts, skipped


def _report(result: Filtered, verdicts: list[Verdict], settings: FilterSettings) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "tests": {
            verdict.reason: {
                "dropped": int(verdict.drop.sum()),
                "threshold": sorted({round(float(t), 6) for t in torch.unique(verdict.threshold)}),
            }
            for verdict in verdicts
        },
        "skipped": result.skipped,
        "kept": len(result.kept),
        "classes": {name: dict(counts) for name, counts in result.counts().items()},
        "dropped": {
            row.file: failed
            for row, failed in zip(result.rows, result.reasons, strict=True)
            if failed
        },
    }


def _draw(sets: ScoreSets, result: Filtered, path: Path) -> None:
    """Draw a row of kept images and a row for each reason, a few of each."""
    groups: dict[str, list[int]] = {KEPT: []}
    for index, failed in enumerate(result.reasons):
        for name in failed or [KEPT]:
            groups.setdefault(name, []).append(index)
    pictures, labels = [], []
    for name, found in groups.items():
        spread = torch.linspace(0, len(found) - 1, 2 * SHOWN).round().long()
        pictures.append(sets.generated.batch(torch.tensor(found)[spread]))
        labels.append(f"{name} ({len(found)})")
    save_grid(path, pictures, labels, [""] * (2 * SHOWN))
