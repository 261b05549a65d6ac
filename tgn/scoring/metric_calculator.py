"""From features to the records of a result: each metric with its interval, or a note why not."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tgn.metrics.bootstrap import mean_interval, percentile_interval
from tgn.metrics.clip_mmd import clip_mmd
from tgn.metrics.frechet import frechet_distance
from tgn.metrics.kernel import kernel_distance
from tgn.metrics.pair_diversity import PairDistances
from tgn.metrics.precision_and_recall import NEIGHBOURS, neighbour_balls
from tgn.metrics.statistics import FeatureStatistics
from tgn.metrics.vendi_score import vendi_score
from tgn.runtime.seeds import generator, seed_of
from tgn.scoring.results import (
    DiversityScore,
    Estimate,
    KernelScore,
    PrecisionRecallScore,
    VendiScore,
)

MIN_COUNT_FOR_RECALL = 4 * NEIGHBOURS
NUM_FID_RESAMPLES = 10
NORMAL_95 = 1.96


@dataclass
class MetricCalculator:
    """Computes the metrics of one set of rows, and notes why some were not computed.

    Attributes:
        seed: of subsets and resamples.
        notes: what was not computed or is unreliable, and why.
    """

    seed: int
    notes: list[str] = field(default_factory=list)

    def mean(self, values: Tensor, purpose: str) -> Estimate:
        """Return the mean of one value per image, [N], with its interval."""
        interval = mean_interval(values, seed_of(self.seed, purpose))
        return Estimate(value=float(values.double().mean()), low=interval.low, high=interval.high)

    def fid(self, generated: Tensor, real: Tensor, minimum: int) -> Estimate | None:
        """Return the Fréchet distance; None below ``minimum`` images on either side."""
        if self._too_few("FID", generated, real, minimum):
            return None
        value = frechet_distance(FeatureStatistics.of(generated), FeatureStatistics.of(real))
        rng = generator(self.seed, "frechet")
        resampled = torch.tensor(
            [
                frechet_distance(_resample(generated, rng), _resample(real, rng))
                for _ in range(NUM_FID_RESAMPLES)
            ]
        )
        # Resamples repeat images, which raises the distance: only their spread is used.
        half_width = NORMAL_95 * float(resampled.std())
        return Estimate(value=value, low=max(0.0, value - half_width), high=value + half_width)

    def kid(self, generated: Tensor, real: Tensor) -> KernelScore | None:
        """Return the kernel distance and its standard error."""
        if self._too_few("KID", generated, real, 2):
            return None
        return KernelScore(**vars(kernel_distance(generated, real, seed_of(self.seed, "kid"))))

    def precision_recall(
        self, generated: Tensor, real: Tensor, reference: str = "training"
    ) -> PrecisionRecallScore | None:
        """Return precision, recall, density and coverage against ``reference`` images."""
        what = f"precision, recall, density and coverage ({reference})"
        if self._too_few(what, generated, real, MIN_COUNT_FOR_RECALL):
            return None
        if len(generated) < len(real):
            self.notes.append(
                f"recall and coverage are held down by {len(generated)} generated images "
                f"against {len(real)} {reference} images"
            )
        found = neighbour_balls(generated, real)
        return PrecisionRecallScore(
            precision=self.mean(found.balls > 0, "precision"),
            recall=self.mean(found.recalled, "recall"),
            density=self.mean(found.balls / found.neighbours, "density"),
            coverage=self.mean(found.covered, "coverage"),
            neighbours=found.neighbours,
        )

    def vendi(self, generated: Tensor, real: Tensor) -> VendiScore | None:
        """Return the Vendi scores of both sets, the larger one subsampled to equal size."""
        if self._too_few("Vendi score", generated, real, 2):
            return None
        count = min(len(generated), len(real))
        rng = generator(self.seed, "vendi")
        ours, theirs = (
            vendi_score(table[torch.randperm(len(table), generator=rng)[:count]])
            for table in (generated, real)
        )
        return VendiScore(generated=ours, real=theirs, num_images=count)

    def cmmd(self, generated: Tensor, real: Tensor) -> float | None:
        """Return CMMD of CLIP embeddings."""
        if self._too_few("CMMD", generated, real, 2):
            return None
        return clip_mmd(generated, real)

    def diversity(
        self, generated: PairDistances | None, real: PairDistances | None
    ) -> DiversityScore:
        """Return the mean pair distances of both sets; None is a set without a pair."""
        interval = None
        if generated is not None and real is not None and real.mean > 0:
            ours, theirs = (
                pairs.resampled_means(seed_of(self.seed, "diversity", side))
                for side, pairs in (("generated", generated), ("real", real))
            )
            # A resample of few images may repeat a single one, whose ratio has no value.
            has_pair = theirs > 0
            if has_pair.any():
                interval = percentile_interval((ours / theirs)[has_pair])
        return DiversityScore(
            generated=generated.mean if generated is not None else None,
            real=real.mean if real is not None else None,
            ratio_low=interval.low if interval else None,
            ratio_high=interval.high if interval else None,
        )

    def _too_few(self, what: str, generated: Tensor, real: Tensor, minimum: int) -> bool:
        few = min(len(generated), len(real)) < minimum
        if few:
            counts = f"{len(generated)} generated, {len(real)} real"
            self.notes.append(f"{what} not reported: {counts}, both must be >= {minimum}")
        return few


def _resample(table: Tensor, rng: torch.Generator) -> FeatureStatistics:
    return FeatureStatistics.of(table[torch.randint(len(table), (len(table),), generator=rng)])
