"""The metrics of each class and of all classes together, from network outputs."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tgn.metrics.memorisation import memorisation
from tgn.metrics.pair_diversity import PairDistances, feature_pair_distances
from tgn.metrics.proportions import subsample_to_proportions
from tgn.runtime.seeds import seed_of
from tgn.scoring.compared_sets import ComparedSets, FeatureTables, Rows
from tgn.scoring.metric_calculator import MetricCalculator
from tgn.scoring.networks import ScoringNetworks
from tgn.scoring.results import CopyScore, DiversityScore, Estimate, NearestPair, SetScores
from tgn.scoring.settings import ScoreSettings

NEAREST_SHOWN = 8


@dataclass(frozen=True)
class NetworkOutputs:
    """What the networks computed for every image.

    Attributes:
        features: of the chosen extractor.
        diversity_features: of the extractor for diversity.
        clip_features: unit embeddings of CLIP, if one was given.
        correct: bool [N], whether the classifier assigns a generated image to its class.
        clip_correct: the same of CLIP.
    """

    features: FeatureTables
    diversity_features: FeatureTables
    clip_features: FeatureTables | None = None
    correct: Tensor | None = None
    clip_correct: Tensor | None = None


@dataclass(frozen=True)
class Scorer:
    """Computes the metrics of a class and of all classes from network outputs."""

    sets: ComparedSets
    networks: ScoringNetworks
    settings: ScoreSettings
    outputs: NetworkOutputs

    def of_class(self, label: int) -> SetScores:
        """Return all metrics of one class."""
        rows = Rows(self.sets.generated.rows_of(label), self.sets.real.rows_of(label))
        calculator = MetricCalculator(seed_of(self.settings.seed, "score", label))
        return SetScores(
            name=self.sets.class_folders[label],
            kind="class",
            feature_diversity=calculator.diversity(*self._feature_pairs(rows, calculator.seed)),
            lpips_diversity=self._lpips_diversity(rows, calculator),
            **self._shared(rows, rows, calculator),
        )

    def pooled(self, classes: tuple[SetScores, ...]) -> SetScores:
        """Return all metrics of the scored classes together.

        Where distributions are compared, generated images are subsampled to the real class
        proportions, so that metrics do not depend on the mixture of classes. Diversity is the mean
        over the classes. Sets without classes are one class, and their pooled metrics its own.
        """
        if not self.sets.has_classes:
            return classes[0].model_copy(update={"name": "pooled", "kind": "pooled"})
        labels = self.sets.labels
        real = torch.isin(self.sets.real.labels, torch.tensor(labels)).nonzero().flatten()
        counts = torch.bincount(
            self.sets.real.labels[real], minlength=len(self.sets.class_folders)
        ).tolist()
        subsampled = subsample_to_proportions(
            self.sets.generated.labels, counts, self.settings.seed
        )
        every = Rows(torch.arange(len(self.sets.generated)), real)
        lpips = [entry.lpips_diversity for entry in classes if entry.lpips_diversity]
        return SetScores(
            name="pooled",
            kind="pooled",
            feature_diversity=_mean_diversity([entry.feature_diversity for entry in classes]),
            lpips_diversity=_mean_diversity(lpips) if lpips else None,
            **self._shared(
                every,
                Rows(subsampled, real),
                MetricCalculator(seed_of(self.settings.seed, "score", -1)),
            ),
        )

    def _shared(self, rows: Rows, compared: Rows, calculator: MetricCalculator) -> dict[str, Any]:
        """Return the metrics of a class or of all; ``compared`` has the real class proportions."""
        pair = self.outputs.features.at(compared)
        clip = self.outputs.clip_features
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
        }
        return {**result, "notes": tuple(calculator.notes)}

    def _share(
        self, correct: Tensor | None, rows: Rows, calculator: MetricCalculator, purpose: str
    ) -> Estimate | None:
        return None if correct is None else calculator.mean(correct[rows.generated], purpose)

    def _copies(self, rows: Rows, calculator: MetricCalculator) -> CopyScore | None:
        if len(rows.real) < 2:
            calculator.notes.append(
                f"copies not reported: {len(rows.real)} real images, must be >= 2"
            )
            return None
        found = memorisation(*self.outputs.features.at(rows))
        closest = found.neighbours.distance.argsort(stable=True)[:NEAREST_SHOWN]
        nearest = [
            NearestPair(
                generated=self.sets.relative(self.sets.generated.files[int(rows.generated[row])]),
                real=self.sets.relative(
                    self.sets.real.files[int(rows.real[found.neighbours.index[row]])]
                ),
                distance=float(found.neighbours.distance[row]),
            )
            for row in closest
        ]
        return CopyScore(
            share=calculator.mean(found.is_copy, "copies"),
            threshold=found.threshold,
            median_distance=found.median_distance,
            real_median_distance=found.real_median,
            nearest=tuple(nearest),
        )

    def _feature_pairs(self, rows: Rows, seed: int) -> list[PairDistances | None]:
        return [
            feature_pair_distances(table, seed) if len(table) >= 2 else None
            for table in self.outputs.diversity_features.at(rows)
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
