"""What held-out real images reach in the place of generated ones: the floor of every figure."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.metrics.memorisation import memorisation_by_class
from tgn.metrics.pair_diversity import feature_pair_distances
from tgn.metrics.proportions import subsample_to_proportions
from tgn.metrics.separability import separability
from tgn.metrics.spectrum import energy_ratio
from tgn.runtime.seeds import generator, seed_of
from tgn.scoring.compared_sets import ComparedSets
from tgn.scoring.metric_calculator import MetricCalculator
from tgn.scoring.network_outputs import NetworkOutputs
from tgn.scoring.results import Estimate, PrecisionRecallScore, RealFloor


@dataclass(frozen=True)
class _HeldOut:
    """Held-out images, and the training images of their classes, in the judge's features."""

    features: Tensor
    labels: Tensor
    training: Tensor
    training_labels: Tensor
    training_rows: Tensor  # among the compared real images


class RealFloorScorer:
    """Computes the figures of held-out real images.

    Args:
        sets: the images.
        outputs: of the networks.
        seed: of subsets and resamples.
    """

    def __init__(self, sets: ComparedSets, outputs: NetworkOutputs, seed: int) -> None:
        self.sets, self.outputs, self.seed = sets, outputs, seed
        self.held_out = _held_out(sets, outputs)
        self._is_copy: Tensor | None = None

    def pooled(self) -> RealFloor | None:
        """Return the floor of the pooled figures; None without held-out images."""
        held_out = self.held_out
        if held_out is None:
            return None
        calculator = MetricCalculator(seed_of(self.seed, "floor"))
        counts = torch.bincount(held_out.training_labels).tolist()
        rows = subsample_to_proportions(held_out.labels, counts, self.seed, largest=1)
        pair = held_out.features[rows], held_out.training
        correct = self.outputs.held_out_correct
        training = held_out.training, held_out.training_labels
        return RealFloor(
            num_images=len(held_out.labels),
            agreement=calculator.mean(correct, "agreement") if correct is not None else None,
            kid=calculator.kid(*pair),
            manifold=calculator.precision_recall(*pair),
            held_out_manifold=self._halves(calculator),
            diversity_ratio=self._diversity(),
            separability=self._separability(*training, calculator),
            energy=self._energy(),
        )

    def separability_of_generated(self, calculator: MetricCalculator) -> Estimate | None:
        """Return how well generated images are told from held-out ones."""
        features, labels = self.outputs.features.generated, self.sets.generated.labels
        return self._separability(features, labels, calculator, self.sets.source_rows)

    def copies(self, labels: Tensor, calculator: MetricCalculator) -> Estimate | None:
        """Return the share of held-out images of some classes that would count as copies."""
        held_out = self.held_out
        if held_out is None:
            return None
        if self._is_copy is None:
            self._is_copy = memorisation_by_class(
                held_out.features, held_out.labels, held_out.training, held_out.training_labels
            ).is_copy
        own = torch.isin(held_out.labels, labels)
        return calculator.mean(self._is_copy[own], "real copies") if own.any() else None

    def _separability(
        self,
        features: Tensor,
        labels: Tensor,
        calculator: MetricCalculator,
        sources: Tensor | None = None,
    ) -> Estimate | None:
        held_out = self.held_out
        if held_out is None:
            return None
        seed, pair = seed_of(self.seed, "separability"), (labels, held_out.labels)
        found = separability(features, held_out.features, pair, seed, sources)
        return calculator.mean(found.correct, "separability") if found else None

    def _halves(self, calculator: MetricCalculator) -> PrecisionRecallScore | None:
        """Compare one random half of the held-out images of each class with the other."""
        assert self.held_out is not None
        labels, halves = self.held_out.labels, torch.zeros(len(self.held_out.labels)).bool()
        for label in labels.unique().tolist():
            own = (labels == label).nonzero().flatten()
            order = torch.randperm(len(own), generator=generator(self.seed, "halves", label))
            halves[own[order[: len(own) // 2]]] = True
        features = self.held_out.features
        return calculator.precision_recall(features[halves], features[~halves], "held-out")

    def _diversity(self) -> float | None:
        """Return the mean distance within held-out classes over that within training classes."""
        assert self.held_out is not None
        ratios = []
        for label in self.held_out.labels.unique():
            ours = self.held_out.features[self.held_out.labels == label]
            theirs = self.held_out.training[self.held_out.training_labels == label]
            if min(len(ours), len(theirs)) > 1:
                ratios.append([feature_pair_distances(k, self.seed).mean for k in (ours, theirs)])
        sums = torch.tensor(ratios).sum(0).tolist() if ratios else [0.0, 0.0]
        return sums[0] / sums[1] if sums[1] else None

    def _energy(self) -> tuple[float, ...] | None:
        held_out, energies = self.held_out, self.outputs.energies
        if held_out is None or energies is None or energies.held_out is None:
            return None
        real = energies.real[held_out.training_rows]
        ratio = energy_ratio(energies.held_out, real, held_out.labels, held_out.training_labels)
        return tuple(ratio.tolist()) if ratio is not None else None


def _held_out(sets: ComparedSets, outputs: NetworkOutputs) -> _HeldOut | None:
    if sets.held_out is None or outputs.features.held_out is None:
        return None
    labels = sets.held_out.labels
    rows = torch.isin(sets.real.labels, labels).nonzero().flatten()
    training = outputs.features.real[rows], sets.real.labels[rows], rows
    return _HeldOut(outputs.features.held_out, labels, *training)
