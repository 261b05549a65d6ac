"""The figures of one scoring, from features that were extracted once."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tgn.metrics.diversity import PairDistances, feature_pair_distances
from tgn.metrics.memorisation import memorisation
from tgn.metrics.proportions import thin_to_proportions
from tgn.runtime.seeds import seed_of
from tgn.scoring.figures import Figures
from tgn.scoring.image_sets import FeatureTables, Rows, ScoreSets
from tgn.scoring.results import CopyScore, DiversityScore, Estimate, NearestPair, SetScores
from tgn.scoring.settings import ScoreSettings
from tgn.scoring.tools import Tools

NEAREST_SHOWN = 8


@dataclass(frozen=True)
class Evidence:
    """What the networks said of every image, once.

    Attributes:
        features: of the chosen extractor.
        tail_features: of the run's tail net.
        clip_features: unit embeddings of CLIP, if one was given.
        hits: bool [N], whether the classifier took a generated image for its class.
        clip_hits: the same of CLIP.
    """

    features: FeatureTables
    tail_features: FeatureTables
    clip_features: FeatureTables | None = None
    hits: Tensor | None = None
    clip_hits: Tensor | None = None


@dataclass(frozen=True)
class Scorer:
    """Turns evidence into the figures of a class and of all classes."""

    sets: ScoreSets
    tools: Tools
    settings: ScoreSettings
    evidence: Evidence

    def of_class(self, label: int) -> SetScores:
        """All figures of one class."""
        rows = Rows(self.sets.generated.rows_of(label), self.sets.real.rows_of(label))
        figures = Figures(seed_of(self.settings.seed, "score", label))
        return SetScores(
            name=self.sets.split.classes[label].folder,
            kind="class",
            feature_diversity=figures.diversity(*self._feature_pairs(rows, figures.seed)),
            lpips_diversity=self._lpips_diversity(rows, figures),
            **self._shared(rows, rows, figures),
        )

    def pooled(self, classes: tuple[SetScores, ...]) -> SetScores:
        """All figures of the scored classes together.

        Generated images are thinned to the real class proportions where distributions are
        compared, so that these measure images and not the mixture of classes. Diversity is the
        mean over the classes.
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
            feature_diversity=_mean_diversity([entry.feature_diversity for entry in classes]),
            lpips_diversity=_mean_diversity(lpips) if lpips else None,
            **self._shared(
                every, Rows(thinned, real), Figures(seed_of(self.settings.seed, "score", -1))
            ),
        )

    def _shared(self, rows: Rows, compared: Rows, figures: Figures) -> dict[str, Any]:
        """What is made alike for a class and for all; ``compared`` has fair proportions."""
        pair = self.evidence.features.at(compared)
        clip = self.evidence.clip_features
        result = {
            "num_generated": len(rows.generated),
            "num_real": len(rows.real),
            "num_compared": len(compared.generated),
            "fid": figures.fid(*pair, self.settings.min_count_for_fid),
            "kid": figures.kid(*pair),
            "manifold": figures.manifold(*pair),
            "vendi": figures.vendi(*pair),
            "cmmd": figures.cmmd(*clip.at(compared)) if clip else None,
            "agreement": self._share(self.evidence.hits, rows, figures, "agreement"),
            "clip_agreement": self._share(self.evidence.clip_hits, rows, figures, "clip"),
            "copies": self._copies(rows, figures),
        }
        return {**result, "notes": tuple(figures.notes)}

    def _share(
        self, hits: Tensor | None, rows: Rows, figures: Figures, purpose: str
    ) -> Estimate | None:
        return None if hits is None else figures.share(hits[rows.generated], purpose)

    def _copies(self, rows: Rows, figures: Figures) -> CopyScore | None:
        if len(rows.real) < 2:
            figures.notes.append(f"copies not judged: {len(rows.real)} real images, must be >= 2")
            return None
        found = memorisation(*self.evidence.features.at(rows))
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
            share=figures.share(found.is_copy, "copies"),
            threshold=found.threshold,
            median_distance=found.median_distance,
            real_median_distance=found.real_median,
            nearest=tuple(nearest),
        )

    def _feature_pairs(self, rows: Rows, seed: int) -> list[PairDistances | None]:
        return [
            feature_pair_distances(table, seed) if len(table) >= 2 else None
            for table in self.evidence.tail_features.at(rows)
        ]

    def _lpips_diversity(self, rows: Rows, figures: Figures) -> DiversityScore | None:
        perceptual = self.tools.perceptual
        if perceptual is None:
            return None
        pairs = [
            perceptual.pair_distances(images, chosen, figures.seed) if len(chosen) >= 2 else None
            for images, chosen in (
                (self.sets.generated, rows.generated),
                (self.sets.real, rows.real),
            )
        ]
        return figures.diversity(*pairs)


def _mean_diversity(scores: list[DiversityScore]) -> DiversityScore:
    whole = [
        (s.generated, s.real) for s in scores if s.generated is not None and s.real is not None
    ]
    if not whole:
        return DiversityScore(generated=None, real=None)
    generated, real = (sum(values) / len(whole) for values in zip(*whole, strict=True))
    return DiversityScore(generated=generated, real=real)
