"""From features to the records of a result: each figure with its interval, or a note why not."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tgn.metrics.bootstrap import mean_interval, percentile_interval
from tgn.metrics.cmmd import cmmd
from tgn.metrics.diversity import PairDistances
from tgn.metrics.frechet import frechet_distance
from tgn.metrics.kernel import kernel_distance
from tgn.metrics.precision_recall import NEIGHBOURS, manifold
from tgn.metrics.statistics import FeatureStatistics
from tgn.metrics.vendi import vendi_score
from tgn.runtime.seeds import generator, seed_of
from tgn.scoring.results import DiversityScore, Estimate, KernelScore, ManifoldScore, VendiScore

MIN_COUNT_FOR_MANIFOLD = 4 * NEIGHBOURS
FRECHET_DRAWS = 10
NORMAL_95 = 1.96


@dataclass
class Figures:
    """Makes the figures of one set of rows and collects why some could not be had.

    Attributes:
        seed: of subsets and resamples.
        notes: what was refused or is not to be trusted, in words.
    """

    seed: int
    notes: list[str] = field(default_factory=list)

    def share(self, values: Tensor, purpose: str) -> Estimate:
        """Mean of one value an image, [N]."""
        interval = mean_interval(values, seed_of(self.seed, purpose))
        return Estimate(value=float(values.double().mean()), low=interval.low, high=interval.high)

    def fid(self, generated: Tensor, real: Tensor, minimum: int) -> Estimate | None:
        """Fréchet distance, refused below ``minimum`` images on either side."""
        if self._too_few("FID", generated, real, minimum):
            return None
        value = frechet_distance(FeatureStatistics.of(generated), FeatureStatistics.of(real))
        draw = generator(self.seed, "frechet")
        draws = torch.tensor(
            [
                frechet_distance(_resample(generated, draw), _resample(real, draw))
                for _ in range(FRECHET_DRAWS)
            ]
        )
        # Resamples repeat images, which shifts the distance up: only their spread is used.
        reach = NORMAL_95 * float(draws.std())
        return Estimate(value=value, low=max(0.0, value - reach), high=value + reach)

    def kid(self, generated: Tensor, real: Tensor) -> KernelScore | None:
        """Kernel distance and its standard error."""
        if self._too_few("KID", generated, real, 2):
            return None
        return KernelScore(**vars(kernel_distance(generated, real, seed_of(self.seed, "kid"))))

    def manifold(self, generated: Tensor, real: Tensor) -> ManifoldScore | None:
        """Precision, recall, density and coverage."""
        what = "precision, recall, density and coverage"
        if self._too_few(what, generated, real, MIN_COUNT_FOR_MANIFOLD):
            return None
        if len(generated) < len(real):
            self.notes.append(
                f"recall and coverage are held down by {len(generated)} generated images "
                f"against {len(real)} real ones"
            )
        found = manifold(generated, real)
        return ManifoldScore(
            precision=self.share(found.balls > 0, "precision"),
            recall=self.share(found.recalled, "recall"),
            density=self.share(found.balls / found.neighbours, "density"),
            coverage=self.share(found.covered, "coverage"),
            neighbours=found.neighbours,
        )

    def vendi(self, generated: Tensor, real: Tensor) -> VendiScore | None:
        """Vendi scores of both sets, the larger one thinned to the size of the smaller."""
        if self._too_few("Vendi score", generated, real, 2):
            return None
        count = min(len(generated), len(real))
        draw = generator(self.seed, "vendi")
        ours, theirs = (
            vendi_score(table[torch.randperm(len(table), generator=draw)[:count]])
            for table in (generated, real)
        )
        return VendiScore(generated=ours, real=theirs, num_images=count)

    def cmmd(self, generated: Tensor, real: Tensor) -> float | None:
        """CMMD of CLIP embeddings."""
        if self._too_few("CMMD", generated, real, 2):
            return None
        return cmmd(generated, real)

    def diversity(
        self, generated: PairDistances | None, real: PairDistances | None
    ) -> DiversityScore:
        """Mean pair distances of both sets; None is a set without a pair."""
        interval = None
        if generated is not None and real is not None and real.mean > 0:
            ours, theirs = (
                pairs.resampled_means(seed_of(self.seed, "diversity", side))
                for side, pairs in (("generated", generated), ("real", real))
            )
            interval = percentile_interval(ours / theirs.clamp(min=torch.finfo(theirs.dtype).tiny))
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


def _resample(table: Tensor, draw: torch.Generator) -> FeatureStatistics:
    return FeatureStatistics.of(table[torch.randint(len(table), (len(table),), generator=draw)])
