"""The outcome of a filter: which images are kept, why others are not, and the files that say so."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tgn.data.image_grid import save_grid
from tgn.data.made_from import IMAGES, MADE_FROM
from tgn.data.manifest import FILTERED, ManifestRow, write_filtered
from tgn.models.provenance import Provenance
from tgn.runtime.files import sha256_of, write_json
from tgn.scoring.compared_sets import ComparedSets
from tgn.scoring.filter_criteria import CriterionResult
from tgn.scoring.settings import FILTER_GRID, KEPT, FilterSettings
from tgn.scoring.use_verdict import UseVerdict

REPORT = "filter.json"
EXAMPLES = 12  # images in each row of the picture


@dataclass(frozen=True)
class FilterOutcome:
    """Which images are kept, and why others are not.

    Attributes:
        rows: the manifest's rows.
        reasons: for every row the criteria that drop its image.
        skipped: classifiers that were not available -> the remedy.
        use: by use, of which classes images are used.
    """

    rows: Sequence[ManifestRow]
    reasons: Sequence[Sequence[str]]
    skipped: Mapping[str, str]
    use: UseVerdict | None = None

    @property
    def kept(self) -> list[ManifestRow]:
        """Rows of images that no criterion drops."""
        return [row for row, failed in zip(self.rows, self.reasons, strict=True) if not failed]

    def counts(self) -> dict[str, Counter[str]]:
        """Return the counts of each class folder: images ``kept``, and dropped for each reason."""
        table: dict[str, Counter[str]] = {}
        for row, failed in zip(self.rows, self.reasons, strict=True):
            table.setdefault(row.folder, Counter()).update(failed or [KEPT])
        return table


def write_outcome(
    sets: ComparedSets,
    outcome: FilterOutcome,
    results: Sequence[CriterionResult],
    settings: FilterSettings,
    judges: Mapping[str, Provenance],
    sources: Mapping[str, str],
) -> None:
    """Write the filtered manifest, ``filter.json`` and ``filter.png`` beside the images."""
    write_filtered(sets.folder, outcome.kept)
    judged = {role: _judge(provenance) for role, provenance in judges.items()}
    found = {**sources, IMAGES: sha256_of(sets.folder / FILTERED)}  # until others are kept by hand
    report = {"judges": judged, **_report(outcome, results, settings), MADE_FROM: found}
    write_json(sets.folder / REPORT, report)
    _save_examples(sets, outcome, sets.folder / FILTER_GRID)


def delete_filter(folder: Path) -> bool:
    """Delete the files of a filter, so that all images are used again.

    Returns:
        Whether there was a filter.
    """
    was_filtered = (folder / FILTERED).is_file()
    for name in (FILTERED, REPORT, FILTER_GRID):
        (folder / name).unlink(missing_ok=True)
    return was_filtered


def _judge(provenance: Provenance) -> dict[str, Any]:
    """Return who judged, and what that network has seen."""
    return {
        "name": provenance.name,
        "weights_sha256": provenance.weights_sha256,
        "resize": provenance.resize,
        "trained_against": provenance.trained_against,
        "seen_sources": provenance.seen,
    }


def _report(
    outcome: FilterOutcome, results: Sequence[CriterionResult], settings: FilterSettings
) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "tests": {
            result.reason: {
                "dropped": int(result.drop.sum()),
                "threshold": sorted({round(float(t), 6) for t in torch.unique(result.threshold)}),
            }
            for result in results
        },
        "skipped": dict(outcome.skipped),
        "use": outcome.use.report() if outcome.use else None,
        "kept": len(outcome.kept),
        "classes": {name: dict(counts) for name, counts in outcome.counts().items()},
        "dropped": {
            row.file: list(failed)
            for row, failed in zip(outcome.rows, outcome.reasons, strict=True)
            if failed
        },
    }


def _save_examples(sets: ComparedSets, outcome: FilterOutcome, path: Path) -> None:
    """Save a picture with a few kept images in a row, and a row for each reason."""
    groups: dict[str, list[int]] = {KEPT: []}
    for index, failed in enumerate(outcome.reasons):
        for name in failed or [KEPT]:
            groups.setdefault(name, []).append(index)
    pictures, labels = [], []
    for name, members in groups.items():
        if not members:  # none is kept
            continue
        spread = torch.linspace(0, len(members) - 1, EXAMPLES).round().long()
        pictures.append(sets.generated.batch(torch.tensor(members)[spread]))
        labels.append(f"{name} ({len(members)})")
    save_grid(path, pictures, labels, [""] * EXAMPLES)
