"""The figures of one scoring, from features that were extracted once."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tgn.core.data import ImageSet
from tgn.core.seeds import seed_of
from tgn.core.split import Split
from tgn.score.agreement import Agreement
from tgn.score.diversity import mean_feature_distance
from tgn.score.frechet import frechet_distance
from tgn.score.kernel import kernel_distance
from tgn.score.memorisation import memorisation
from tgn.score.proportions import thin_to_proportions
from tgn.score.results import (
    CopyScore,
    DiversityScore,
    KernelScore,
    NearestPair,
    SetScores,
)
from tgn.score.statistics import FeatureStatistics
from tgn.score.tools import ScoreSettings, Tools

NEAREST_SHOWN = 8


@dataclass(frozen=True)
class ScoreSets:
    """What is compared.

    Attributes:
        generated: the generated images, labelled in the split's class order.
        real: the real training images, of the same size and in the same order.
        split: the class order.
        folder: where the generated images lie.
        root: files in the result are written relative to this folder, the run's.
    """

    generated: ImageSet
    real: ImageSet
    split: Split
    folder: Path
    root: Path

    @property
    def classes(self) -> list[int]:
        """Classes that have generated images, in the split's order."""
        return [int(k) for k in torch.unique(self.generated.labels)]

    def relative(self, path: Path) -> str:
        """A file as it is written in the result."""
        return Path(os.path.relpath(path.resolve(), self.root.resolve())).as_posix()


@dataclass(frozen=True)
class Rows:
    """Rows of the generated and of the real set, int64."""

    generated: Tensor
    real: Tensor


@dataclass(frozen=True)
class FeatureTables:
    """Features of the whole generated and real sets, [N, D] and [M, D]."""

    generated: Tensor
    real: Tensor

    def at(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Features of some rows: generated, real."""
        return self.generated[rows.generated], self.real[rows.real]


@dataclass(frozen=True)
class Scorer:
    """All that was extracted from the sets, once; its methods are the figures."""

    sets: ScoreSets
    tools: Tools
    settings: ScoreSettings
    features: FeatureTables
    tail_features: FeatureTables
    agreement: Agreement | None

    def of_class(self, label: int) -> SetScores:
        """All figures of one class."""
        rows = Rows(self.sets.generated.rows_of(label), self.sets.real.rows_of(label))
        return SetScores(
            name=self.sets.split.classes[label].folder,
            kind="class",
            num_compared=len(rows.generated),
            feature_diversity=self._feature_diversity(rows, label),
            lpips_diversity=self._lpips_diversity(rows, label),
            agreement=self.agreement.per_class[label] if self.agreement else None,
            **self._distribution(rows, rows, label),
        )

    def pooled(self, classes: tuple[SetScores, ...]) -> SetScores:
        """All figures of the scored classes together.

        Generated images are thinned to the real class proportions for KID and FID, so that these
        measure images and not the mixture of classes. Diversity is the mean over the classes.
        """
        labels = self.sets.classes
        real = torch.isin(self.sets.real.labels, torch.tensor(labels)).nonzero().flatten()
        counts = torch.bincount(
            self.sets.real.labels[real], minlength=self.sets.split.num_classes
        ).tolist()
        thinned = thin_to_proportions(self.sets.generated.labels, counts, self.settings.seed)
        every = Rows(torch.arange(len(self.sets.generated)), real)
        lpips = [entry.lpips_diversity for entry in classes if entry.lpips_diversity]
        return SetScores(
            name="pooled",
            kind="pooled",
            num_compared=len(thinned),
            feature_diversity=_mean_diversity([entry.feature_diversity for entry in classes]),
            lpips_diversity=_mean_diversity(lpips) if lpips else None,
            agreement=self.agreement.overall if self.agreement else None,
            **self._distribution(every, Rows(thinned, real), -1),
        )

    def _distribution(self, rows: Rows, compared: Rows, label: int) -> dict[str, Any]:
        generated, real = self.features.at(compared)
        few = min(len(generated), len(real))
        counts = f"{len(generated)} generated, {len(real)} real"
        fid, kid, notes = None, None, []
        if few >= self.settings.min_count_for_fid:
            fid = frechet_distance(FeatureStatistics.of(generated), FeatureStatistics.of(real))
        else:
            minimum = self.settings.min_count_for_fid
            notes.append(f"FID not reported: {counts}, both must be >= {minimum}")
        if few >= 2:
            kid = KernelScore(**vars(kernel_distance(generated, real, self._seed("kid", label))))
        else:
            notes.append(f"KID not reported: {counts}, both must be >= 2")
        if len(rows.real) < 2:
            notes.append(f"copies not judged: {len(rows.real)} real images, must be >= 2")
        return {
            "num_generated": len(rows.generated),
            "num_real": len(rows.real),
            "fid": fid,
            "kid": kid,
            "copies": self._copies(rows) if len(rows.real) >= 2 else None,
            "notes": tuple(notes),
        }

    def _copies(self, rows: Rows) -> CopyScore:
        found = memorisation(*self.features.at(rows))
        closest = found.neighbours.distance.argsort(stable=True)[:NEAREST_SHOWN]
        nearest = [
            NearestPair(
                generated=self.sets.relative(self.sets.generated.files[rows.generated[row]]),
                real=self.sets.relative(
                    self.sets.real.files[rows.real[found.neighbours.index[row]]]
                ),
                distance=float(found.neighbours.distance[row]),
            )
            for row in closest
        ]
        return CopyScore(
            share=found.share,
            threshold=found.threshold,
            median_distance=found.median_distance,
            real_median_distance=found.real_median,
            nearest=tuple(nearest),
        )

    def _feature_diversity(self, rows: Rows, label: int) -> DiversityScore:
        seed = self._seed("features", label)
        generated, real = (
            mean_feature_distance(table, seed) if len(table) >= 2 else None
            for table in self.tail_features.at(rows)
        )
        return DiversityScore(generated=generated, real=real)

    def _lpips_diversity(self, rows: Rows, label: int) -> DiversityScore | None:
        perceptual = self.tools.perceptual
        if perceptual is None:
            return None
        seed = self._seed("lpips", label)
        generated, real = (
            perceptual.mean_distance(images, chosen, seed) if len(chosen) >= 2 else None
            for images, chosen in (
                (self.sets.generated, rows.generated),
                (self.sets.real, rows.real),
            )
        )
        return DiversityScore(generated=generated, real=real)

    def _seed(self, purpose: str, label: int) -> int:
        return seed_of(self.settings.seed, "score", purpose, label)


def _mean_diversity(scores: list[DiversityScore]) -> DiversityScore:
    whole = [
        (s.generated, s.real) for s in scores if s.generated is not None and s.real is not None
    ]
    if not whole:
        return DiversityScore(generated=None, real=None)
    generated, real = (sum(values) / len(whole) for values in zip(*whole, strict=True))
    return DiversityScore(generated=generated, real=real)
