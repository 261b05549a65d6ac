"""The metrics of each class and of all classes together, from network outputs."""

from typing import Any

import torch
from torch import Tensor

from tgn.metrics.memorisation import ClassMemorisation, memorisation_by_class
from tgn.metrics.pair_diversity import PairDistances, feature_pair_distances
from tgn.metrics.proportions import subsample_to_proportions
from tgn.metrics.spectrum import energy_ratio
from tgn.runtime.seeds import seed_of
from tgn.scoring.compared_sets import ComparedSets, Rows
from tgn.scoring.metric_calculator import MetricCalculator
from tgn.scoring.network_outputs import NetworkOutputs
from tgn.scoring.networks import ScoringNetworks
from tgn.scoring.real_floor import RealFloorScorer
from tgn.scoring.results import (
    CopyScore,
    DiversityScore,
    Estimate,
    NearestPair,
    PrecisionRecallScore,
    SetScores,
)
from tgn.scoring.settings import ScoreSettings

NEAREST_SHOWN = 8
FEW = 30  # real images of a class, under which its threshold of copies is rough


class Scorer:
    """Computes the metrics of a class and of all classes from network outputs.

    Args:
        sets: the images.
        networks: of the scoring; only LPIPS is applied here.
        settings: seed and the least count for FID.
        outputs: of all other networks.
    """

    def __init__(
        self,
        sets: ComparedSets,
        networks: ScoringNetworks,
        settings: ScoreSettings,
        outputs: NetworkOutputs,
    ) -> None:
        self.sets, self.networks, self.settings = sets, networks, settings
        self.outputs = outputs
        features = outputs.features
        self.copies = memorisation_by_class(
            features.generated, sets.generated.labels, features.real, sets.real.labels
        )
        self.floor = RealFloorScorer(sets, outputs, settings.seed)

    def of_class(self, label: int) -> SetScores:
        """Return all metrics of one class."""
        rows = Rows(self.sets.generated.rows_of(label), self.sets.real.rows_of(label))
        calculator = MetricCalculator(seed_of(self.settings.seed, "score", label))
        return SetScores(
            name=self.sets.class_folders[label],
            kind="class",
            feature_diversity=calculator.diversity(*self._feature_pairs(rows, calculator.seed)),
            lpips_diversity=self._lpips_diversity(rows, calculator),
            separability=None,
            floor=None,
            held_out_manifold=self._held_out(rows.generated, [label], calculator),
            **self._shared(rows, rows, calculator),
        )

    def pooled(self, classes: tuple[SetScores, ...]) -> SetScores:
        """Return all metrics of the scored classes together.

        Where distributions are compared, generated images are subsampled to the real class
        proportions, so that metrics do not depend on the mixture of classes. Diversity is the mean
        over the classes; copies are those by the threshold of their class. Sets without classes
        are one class, and their pooled metrics its own.
        """
        if not self.sets.has_classes:
            return classes[0].model_copy(update={"name": "pooled", "kind": "pooled"})
        labels = self.sets.labels
        real = torch.isin(self.sets.real.labels, torch.tensor(labels)).nonzero().flatten()
        subsampled = self._subsampled(self.sets.real.labels[real])
        every = Rows(torch.arange(len(self.sets.generated)), real)
        lpips = [entry.lpips_diversity for entry in classes if entry.lpips_diversity]
        calculator = MetricCalculator(seed_of(self.settings.seed, "score", -1))
        return SetScores(
            name="pooled",
            kind="pooled",
            feature_diversity=_mean_diversity([entry.feature_diversity for entry in classes]),
            lpips_diversity=_mean_diversity(lpips) if lpips else None,
            separability=self.floor.separability_of_generated(calculator),
            floor=self.floor.pooled(),
            held_out_manifold=self._held_out(every.generated, labels, calculator),
            **self._shared(every, Rows(subsampled, real), calculator),
        )

    def _subsampled(self, reference: Tensor, largest: float = float("inf")) -> Tensor:
        """Return generated rows in the class proportions of a reference."""
        counts = torch.bincount(reference, minlength=len(self.sets.class_folders)).tolist()
        labels, seed = self.sets.generated.labels, self.settings.seed
        return subsample_to_proportions(labels, counts, seed, largest)

    def _held_out(
        self, rows: Tensor, labels: list[int], calculator: MetricCalculator
    ) -> PrecisionRecallScore | None:
        """Compare with held-out images of some classes, at their proportions and number."""
        held_out, table = self.sets.held_out, self.outputs.features.held_out
        if held_out is None or table is None:
            return None
        own = torch.isin(held_out.labels, torch.tensor(labels))
        if not own.any():
            return None
        subsampled = self._subsampled(held_out.labels[own], largest=1)
        subsampled = subsampled[torch.isin(subsampled, rows)]
        features = self.outputs.features.generated[subsampled]
        return calculator.precision_recall(features, table[own], "held-out")

    def _shared(self, rows: Rows, compared: Rows, calculator: MetricCalculator) -> dict[str, Any]:
        """Return the metrics of a class or of all; ``compared`` has the real class proportions."""
        pair = self.outputs.features.at(compared)
        clip, energies = self.outputs.clip_features, self.outputs.energies
        labels = self.sets.generated.labels[rows.generated], self.sets.real.labels[rows.real]
        energy = energy_ratio(*energies.at(rows), *labels) if energies else None
        result = {
            "num_generated": len(rows.generated),
            "num_real": len(rows.real),
            "num_compared": len(compared.generated),
            "fid": calculator.fid(*pair, self.settings.min_count_for_fid),
            "kid": calculator.kid(*pair),
            "manifold": calculator.precision_recall(*pair),
            "vendi": calculator.vendi(*pair),
            "cmmd": calculator.cmmd(*clip.at(compared)) if clip else None,
            "agreement": self._share(self.outputs.correct, rows, calculator, "agreement"),
            "clip_agreement": self._share(self.outputs.clip_correct, rows, calculator, "clip"),
            "copies": self._copies(rows, calculator),
            "own_source": self._own_source(rows, calculator),
            "energy": tuple(energy.tolist()) if energy is not None else None,
        }
        return {**result, "notes": tuple(calculator.notes)}

    def _share(
        self, correct: Tensor | None, rows: Rows, calculator: MetricCalculator, purpose: str
    ) -> Estimate | None:
        return None if correct is None else calculator.mean(correct[rows.generated], purpose)

    def _own_source(self, rows: Rows, calculator: MetricCalculator) -> Estimate | None:
        """Return the share of images whose nearest training image is their source."""
        sources = self.sets.source_rows[rows.generated]
        is_known = sources >= 0
        if not is_known.any():
            return None
        nearest = self.sets.real_rows[self.outputs.nearest.index[rows.generated]]
        return calculator.mean((nearest == sources)[is_known], "own source")

    def _copies(self, rows: Rows, calculator: MetricCalculator) -> CopyScore | None:
        found, own = self.copies, rows.generated[self.copies.is_known[rows.generated]]
        if len(own) == 0:
            few = f"{len(rows.real)} real images"
            calculator.notes.append(f"copies not reported: {few}, must be >= 2 in a class")
            return None
        counts = torch.bincount(self.sets.real.labels[rows.real])
        if bool((counts[counts > 0] < FEW).any()):
            calculator.notes.append(f"thresholds of classes under {FEW} real images are rough")
        real_distance = found.real_distance[rows.real]
        real_distance = real_distance[real_distance.isfinite()]
        thresholds = found.threshold[own].unique()
        return CopyScore(
            share=calculator.mean(found.is_copy[own], "copies"),
            held_out=self.floor.copies(self.sets.generated.labels[own].unique(), calculator),
            threshold=float(thresholds[0]) if len(thresholds) == 1 else None,
            median_distance=float(found.distance[own].median()),
            real_median_distance=float(real_distance.median()),
            nearest=self._closest(found, own),
        )

    def _closest(self, found: ClassMemorisation, own: Tensor) -> tuple[NearestPair, ...]:
        closest = own[found.distance[own].argsort(stable=True)[:NEAREST_SHOWN]].tolist()
        generated, real = self.sets.generated.files, self.sets.real.files
        return tuple(
            NearestPair(
                generated=self.sets.relative(generated[row]),
                real=self.sets.relative(real[int(found.index[row])]),
                distance=float(found.distance[row]),
            )
            for row in closest
        )

    def _feature_pairs(self, rows: Rows, seed: int) -> list[PairDistances | None]:
        return [
            feature_pair_distances(table, seed) if len(table) >= 2 else None
            for table in self.outputs.features.at(rows)
        ]

    def _lpips_diversity(self, rows: Rows, calculator: MetricCalculator) -> DiversityScore | None:
        lpips = self.networks.lpips
        if lpips is None:
            return None
        pairs = [
            lpips.pair_distances(images, chosen, calculator.seed) if len(chosen) >= 2 else None
            for images, chosen in (
                (self.sets.generated, rows.generated),
                (self.sets.real, rows.real),
            )
        ]
        return calculator.diversity(*pairs)


def _mean_diversity(scores: list[DiversityScore]) -> DiversityScore:
    complete = [
        (s.generated, s.real) for s in scores if s.generated is not None and s.real is not None
    ]
    if not complete:
        return DiversityScore(generated=None, real=None)
    generated, real = (sum(values) / len(complete) for values in zip(*complete, strict=True))
    return DiversityScore(generated=generated, real=real)
